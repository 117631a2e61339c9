// Both kinds of memory hold the same bytes the same way. The device kind runs over the CPU provider
// here, with its own allocator and its own copying: where there is a GPU, only the provider
// differs.

#include "runtime/kv_memory.h"

#include <cstring>
#include <span>

#include "base/environment.h"
#include "runtime/decoder_shared.h"
#include "runtime/kv_rows.h"
#include "runtime/test_models.h"

namespace onnxlocal {
namespace {

using testing::distance;
using testing::feed;
using testing::read_folder;
using testing::text_tokens;
using testing::tiny_model;

const ExecutionProviderChoice kCpu{.name = "cpu", .options = {}, .library = {}};

OpenSession open_tiny() {
  auto session =
      open_session(tiny_model("tiny_onnx") / "model.onnx", kCpu, testing::small_options(), {});
  EXPECT_TRUE(session.has_value()) << describe(session.error());
  return *std::move(session);
}

std::unique_ptr<KvMemory> make_device(OpenSession& session, std::size_t count, std::size_t bytes) {
  const auto info = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const ProviderOptions provider = [](Ort::Env& environment) {
    return make_provider_options(environment, kCpu, testing::small_options());
  };
  auto memory =
      make_device_kv_memory(session.environment, session.session, info, provider, count, bytes);
  EXPECT_TRUE(memory.has_value()) << describe(memory.error());
  return memory ? *std::move(memory) : nullptr;
}

void expect_copies(KvMemory& memory) {
  const std::string text = "keys and values";
  const std::span bytes = std::as_bytes(std::span(text));
  ASSERT_TRUE(memory.copy_in(bytes, memory.buffer(1) + 100).has_value());
  ASSERT_TRUE(memory.copy(memory.buffer(1) + 100, memory.buffer(0) + 7, text.size()).has_value());
  std::string back(text.size(), ' ');
  ASSERT_TRUE(
      memory.copy_out(memory.buffer(0) + 7, std::as_writable_bytes(std::span(back))).has_value());
  EXPECT_EQ(back, text);
}

TEST(HostKvMemory, CopiesInWithinAndOut) {
  const auto memory = make_host_kv_memory(2, kKvPageBytes);
  ASSERT_TRUE(memory.has_value());
  expect_copies(**memory);
}

TEST(DeviceKvMemory, CopiesInWithinAndOut) {
  OpenSession session = open_tiny();
  expect_copies(*make_device(session, 2, kKvPageBytes));
}

TEST(HostKvMemory, TakesNoRoomBeforeItIsUsedAndGivesItBack) {
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  constexpr std::size_t kSlack = std::size_t{16} << 20;
  const std::size_t before = resident_memory_bytes();
  const auto memory = make_host_kv_memory(1024, kBytes);
  ASSERT_TRUE(memory.has_value());
  EXPECT_LT(resident_memory_bytes(), before + kSlack);
  std::memset((*memory)->buffer(5), 1, kBytes);
  EXPECT_GT(resident_memory_bytes(), before + kBytes - kSlack);
  (*memory)->release((*memory)->buffer(5), kBytes);
  EXPECT_LT(resident_memory_bytes(), before + kSlack);
}

TEST(HostKvMemory, KeepsWhatSharesAPageWithTheReleased) {
  const auto memory = make_host_kv_memory(1, 4 * kKvPageBytes);
  ASSERT_TRUE(memory.has_value());
  std::byte* const begin = (*memory)->buffer(0);
  std::memset(begin, 7, 4 * kKvPageBytes);
  (*memory)->release(begin + 10, 2 * kKvPageBytes);
  EXPECT_EQ(begin[9], std::byte{7});
  EXPECT_EQ(begin[2 * kKvPageBytes + 10], std::byte{7});
  EXPECT_EQ(begin[kKvPageBytes], std::byte{0});
}

TEST(HostKvMemory, RefusesWhatNoAddressSpaceHolds) {
  const auto memory = make_host_kv_memory(1U << 20, std::size_t{1} << 40);
  ASSERT_FALSE(memory.has_value());
  EXPECT_EQ(memory.error().code, ErrorCode::kUnavailable);
}

TEST(KvRows, GiveBackEveryPageOfAnEmptiedSlot) {
  GraphInterface graph;
  graph.layers = 1;
  graph.kv_heads = 8192;
  graph.head_dim = 64;
  graph.kv_type = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  const KvGeometry geometry(graph);
  const std::size_t before = resident_memory_bytes();
  auto memory = make_host_kv_memory(2, KvRows::buffer_bytes(geometry, 1, 64));
  ASSERT_TRUE(memory.has_value());
  KvRows rows(geometry, 1, 64, *std::move(memory));
  const std::size_t head_bytes = rows.row_bytes() / graph.kv_heads;
  for (std::size_t head = 0; head < graph.kv_heads; ++head) {
    *(rows.memory().buffer(0) + head * head_bytes) = std::byte{1};
    *(rows.memory().buffer(1) + head * head_bytes) = std::byte{1};
  }
  rows.grow(SlotId{0}, 1);
  const std::size_t written = std::size_t{2} * graph.kv_heads * kKvPageBytes;
  EXPECT_GT(resident_memory_bytes(), before + written / 2);
  rows.truncate(SlotId{0}, 0);
  EXPECT_LT(resident_memory_bytes(), before + written / 4);
}

TEST(DeviceKvMemory, CarriesADecoder) {
  const ModelFolder folder = read_folder(tiny_model("tiny_onnx"));
  OpenSession session = open_tiny();
  const auto graph = inspect_session(session.session, folder.config);
  ASSERT_TRUE(graph.has_value()) << describe(graph.error());
  const DecoderSizes sizes{.slots = 3, .slot_tokens_max = 256, .chunk_tokens_max = 64};
  const std::size_t bytes = KvRows::buffer_bytes(KvGeometry(*graph), 3, 256);
  auto memory = make_device(session, std::size_t{2} * graph->layers, bytes);
  const auto decoder = make_shared_decoder_over(std::move(session), folder.config, *graph, sizes,
                                                "device", std::move(memory));
  const auto tokens = text_tokens(70);
  const auto expected = feed(*testing::load(tiny_model("tiny_onnx")), SlotId{0}, tokens);
  EXPECT_EQ(distance(expected, feed(*decoder, SlotId{0}, tokens)), 0.0F);
  std::vector<std::byte> blocks(2 * decoder->layout().block_bytes);
  ASSERT_TRUE(decoder->export_blocks(SlotId{0}, 0, blocks).has_value());
  ASSERT_TRUE(decoder->import_blocks(SlotId{1}, blocks).has_value());
  EXPECT_LT(distance(expected, feed(*decoder, SlotId{1}, std::span(tokens).subspan(64))), 1e-4F);
}

}  // namespace
}  // namespace onnxlocal
