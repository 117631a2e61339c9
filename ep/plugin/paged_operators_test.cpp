// Attention over paged caches: our own operator and com.microsoft.PagedAttention. What the stock
// GroupQueryAttention gives for each sequence alone is what they must give.

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>

#include "attention/attention.h"
#include "cpu/number_formats.h"
#include "plugin/names.h"
#include "plugin/test_attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace onnxlocal::ep {
namespace {

using testing::HasSubstr;

constexpr auto kFloat = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
constexpr auto kByte = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
constexpr auto kInt = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;

// Paged operators: sequences of different lengths, whose rows come in two steps.

/// Rows of each sequence in a step, and what lies before them.
struct Batch {
  std::vector<std::int32_t> rows;
  std::vector<std::int32_t> past;

  std::int64_t all_rows() const {
    std::int64_t sum = 0;
    for (const std::int32_t count : rows) sum += count;
    return sum;
  }
  std::vector<std::int32_t> starts() const {
    std::vector<std::int32_t> sums{0};
    for (const std::int32_t count : rows) sums.push_back(sums.back() + count);
    return sums;
  }
};

constexpr std::int64_t kPages = 16;
constexpr std::int64_t kTableWidth = 4;
constexpr std::int64_t kLayers = 2;

std::int64_t page_bytes(const Heads& heads) {
  const AttentionShape shape{.heads = static_cast<std::uint32_t>(heads.heads),
                             .kv_heads = static_cast<std::uint32_t>(heads.kv_heads),
                             .head_dim = static_cast<std::uint32_t>(heads.head_dim)};
  return kLayers * static_cast<std::int64_t>(layer_page_bytes(shape));
}

/// Page tables of two sequences, neither in order.
const std::vector<std::int32_t> kTable{3, 9, 1, 12, 8, 0, 15, 5};

TestGraph paged_graph(const Heads& heads) {
  TestGraph graph;
  graph.input("q", kFloat, {1, -1, heads.packed_width()});
  graph.input("pages", kByte, {-1, -1});
  graph.input("starts", kInt, {-1});
  graph.input("past", kInt, {-1});
  graph.input("table", kInt, {-1, -1});
  graph.output("o", kFloat, {1, -1, heads.width()});
  graph.output("pages_out", kByte, {-1, -1});
  add_tables(graph, heads);
  auto attributes = attributes_of(heads);
  attributes.emplace("head_dim", heads.head_dim);
  attributes.emplace("layer", std::int64_t{1});
  attributes.emplace("layers", kLayers);
  graph.node(kPagedAttentionOp, kDomain,
             {"q", "", "", "pages", "starts", "past", "table", "cos", "sin"}, {"o", "pages_out"},
             attributes);
  return graph;
}

Tensors paged_inputs(const Heads& heads, const Batch& batch, const std::vector<float>& rows,
                     const TestTensor& pages) {
  const auto sequences = static_cast<std::int64_t>(batch.rows.size());
  return {{"q", TestTensor::of({1, batch.all_rows(), heads.packed_width()}, rows)},
          {"pages", pages},
          {"starts", TestTensor::of({sequences + 1}, batch.starts())},
          {"past", TestTensor::of({sequences}, batch.past)},
          {"table", TestTensor::of({sequences, kTableWidth},
                                   std::vector<std::int32_t>(
                                       kTable.begin(), kTable.begin() + sequences * kTableWidth))}};
}

TestTensor empty_pages(const Heads& heads) {
  const std::int64_t bytes = page_bytes(heads);
  return TestTensor::of({kPages, bytes},
                        std::vector<std::uint8_t>(static_cast<std::size_t>(kPages * bytes), 0));
}

std::vector<float> join(std::vector<float> first, const std::vector<float>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

/// The stock kernel's outputs for one sequence, whose rows come in two steps.
std::vector<std::vector<float>> stock_steps(const Heads& heads, const std::vector<float>& first,
                                            const std::vector<float>& second) {
  Ort::Session session = group_query_graph(heads).session(TestRuntime::stock());
  std::vector<std::vector<float>> outputs;
  Tensors last{{"ok", no_past(heads, 1)}, {"ov", no_past(heads, 1)}};
  std::int32_t total = 0;
  for (const auto& rows : {first, second}) {
    total +=
        static_cast<std::int32_t>(static_cast<std::int64_t>(rows.size()) / heads.packed_width());
    Tensors inputs = cut(heads, rows, 1);
    inputs.emplace("pk", last.at("ok"));
    inputs.emplace("pv", last.at("ov"));
    inputs.emplace("lengths", TestTensor::of<std::int32_t>({1}, {total - 1}));
    inputs.emplace("total", TestTensor::of<std::int32_t>({}, {total}));
    last = run(session, inputs);
    outputs.push_back(last.at("o").values<float>());
  }
  return outputs;
}

TEST(PagedOperator, IsAttentionOfEachSequenceAlone) {
  for (const std::string mode : {"single", "whole"}) {
    SCOPED_TRACE(mode);
    const Heads heads;
    const std::vector<float> first_a = packed_rows(heads, 40, 1);
    const std::vector<float> first_b = packed_rows(heads, 33, 2);
    const std::vector<float> second_a = packed_rows(heads, 1, 3);
    const std::vector<float> second_b = packed_rows(heads, 50, 4);
    Ort::Session session =
        paged_graph(heads).session(TestRuntime::instance().ours({{"mode", mode}}));
    ASSERT_EQ(our_nodes(session)[kPagedAttentionOp], 1);
    const Tensors first = run(session, paged_inputs(heads, {.rows = {40, 33}, .past = {0, 0}},
                                                    join(first_a, first_b), empty_pages(heads)));
    const Tensors second =
        run(session, paged_inputs(heads, {.rows = {1, 50}, .past = {40, 33}},
                                  join(second_a, second_b), first.at("pages_out")));
    const auto a = stock_steps(heads, first_a, second_a);
    const auto b = stock_steps(heads, first_b, second_b);
    EXPECT_LT(relative_error(first.at("o").values<float>(), join(a[0], b[0])), kBf16Error);
    EXPECT_LT(relative_error(second.at("o").values<float>(), join(a[1], b[1])), kBf16Error);
  }
}

TEST(PagedOperator, GivesTheSameBitsHoweverRowsAreBatchedAndCut) {
  const Heads heads;
  const std::vector<float> rows = packed_rows(heads, 70, 1);
  Ort::Session session =
      paged_graph(heads).session(TestRuntime::instance().ours({{"mode", "single"}}));
  const Tensors whole =
      run(session, paged_inputs(heads, {.rows = {70}, .past = {0}}, rows, empty_pages(heads)));
  const auto cut_at = rows.begin() + 31 * heads.packed_width();
  const Tensors first =
      run(session, paged_inputs(heads, {.rows = {31}, .past = {0}},
                                std::vector<float>(rows.begin(), cut_at), empty_pages(heads)));
  const Tensors second = run(
      session, paged_inputs(heads, {.rows = {39, 5}, .past = {31, 0}},
                            join(std::vector<float>(cut_at, rows.end()), packed_rows(heads, 5, 2)),
                            first.at("pages_out")));
  std::vector<float> pieces = join(first.at("o").values<float>(), second.at("o").values<float>());
  pieces.resize(static_cast<std::size_t>(70 * heads.width()));
  EXPECT_EQ(pieces, whole.at("o").values<float>());
}

TEST(PagedOperator, CopiesNothingWhereOneBufferIsBoundToBoth) {
  const Heads heads;
  Ort::Session session =
      paged_graph(heads).session(TestRuntime::instance().ours({{"mode", "single"}}));
  Tensors inputs =
      paged_inputs(heads, {.rows = {3}, .past = {0}}, packed_rows(heads, 3, 1), empty_pages(heads));
  const Tensors expected = run(session, inputs);
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  Ort::IoBinding binding(session);
  std::vector<float> out(static_cast<std::size_t>(3 * heads.width()));
  const auto bind = [&](TestTensor& tensor) {
    return Ort::Value::CreateTensor(memory, tensor.bytes.data(), tensor.bytes.size(),
                                    tensor.dims.data(), tensor.dims.size(), tensor.type);
  };
  for (auto& [name, tensor] : inputs) binding.BindInput(name.c_str(), bind(tensor));
  binding.BindOutput("pages_out", bind(inputs.at("pages")));
  const std::vector<std::int64_t> dims{1, 3, heads.width()};
  binding.BindOutput("o", Ort::Value::CreateTensor(memory, out.data(), out.size(), dims.data(), 3));
  session.Run(Ort::RunOptions(), binding);
  EXPECT_EQ(out, expected.at("o").values<float>());
  EXPECT_EQ(inputs.at("pages").bytes, expected.at("pages_out").bytes);
}

/// Two layers over the same pages, each with queries, keys and values of its own.
TestGraph two_layers(const Heads& heads) {
  TestGraph graph;
  for (const char* name : {"q0", "q1"}) graph.input(name, kFloat, {1, -1, heads.packed_width()});
  for (const char* name : {"o0", "o1"}) graph.output(name, kFloat, {1, -1, heads.width()});
  graph.input("pages", kByte, {-1, -1});
  graph.output("pages_out", kByte, {-1, -1});
  for (const char* name : {"starts", "past"}) graph.input(name, kInt, {-1});
  graph.input("table", kInt, {-1, -1});
  add_tables(graph, heads);
  for (const std::int64_t layer : {0, 1}) {
    auto attributes = attributes_of(heads);
    attributes.emplace("head_dim", heads.head_dim);
    attributes.emplace("layer", layer);
    attributes.emplace("layers", kLayers);
    const bool is_first = layer == 0;
    graph.node(kPagedAttentionOp, kDomain,
               {is_first ? "q0" : "q1", "", "", is_first ? "pages" : "between", "starts", "past",
                "table", "cos", "sin"},
               {is_first ? "o0" : "o1", is_first ? "between" : "pages_out"}, attributes);
  }
  return graph;
}

/// Memory that is there when it is touched.
class LazyPages {
 public:
  LazyPages(std::int64_t pages, std::int64_t bytes)
      : dims_{pages, bytes},
        size_(static_cast<std::size_t>(pages * bytes)),
        memory_(mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {}
  ~LazyPages() { munmap(memory_, size_); }
  LazyPages(const LazyPages&) = delete;
  LazyPages& operator=(const LazyPages&) = delete;
  Ort::Value value(const OrtMemoryInfo* info) const {
    return Ort::Value::CreateTensor(info, memory_, size_, dims_.data(), dims_.size(), kByte);
  }

 private:
  std::array<std::int64_t, 2> dims_;
  std::size_t size_;
  void* memory_;
};

/// Megabytes that the process has ever held at once.
std::size_t peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss) / 1024;
}

TEST(PagedOperator, LayersShareOneBufferOfPagesInBothModes) {
  const Heads heads;
  constexpr std::int64_t kGigabyte = std::int64_t{1} << 30;
  constexpr std::size_t kMegabytesMax = 200;
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<std::vector<float>> outputs;
  for (const char* mode : {"whole", "single"}) {
    Ort::Session session =
        two_layers(heads).session(TestRuntime::instance().ours({{"mode", mode}}));
    ASSERT_EQ(our_nodes(session)[kPagedAttentionOp], 2);
    const LazyPages pages(kGigabyte / page_bytes(heads), page_bytes(heads));
    const std::size_t before = peak_megabytes();
    for (const std::int32_t past : {0, 40}) {
      Tensors inputs = paged_inputs(heads, {.rows = {40, 3}, .past = {past, past}},
                                    packed_rows(heads, 43, 1), empty_pages(heads));
      inputs.emplace("q0", inputs.at("q"));
      inputs.emplace("q1", TestTensor::of(inputs.at("q").dims, packed_rows(heads, 43, 2)));
      inputs.erase("q");
      inputs.erase("pages");
      Ort::IoBinding binding(session);
      for (auto& [name, tensor] : inputs) {
        binding.BindInput(name.c_str(), Ort::Value::CreateTensor(
                                            memory, tensor.bytes.data(), tensor.bytes.size(),
                                            tensor.dims.data(), tensor.dims.size(), tensor.type));
      }
      binding.BindInput("pages", pages.value(memory));
      binding.BindOutput("pages_out", pages.value(memory));
      binding.BindOutput("o0", memory);
      binding.BindOutput("o1", memory);
      session.Run(Ort::RunOptions(), binding);
      for (const Ort::Value& value : binding.GetOutputValues()) {
        if (value.GetTensorTypeAndShapeInfo().GetElementType() != kFloat) continue;
        const float* const numbers = value.GetTensorData<float>();
        outputs.emplace_back(numbers, numbers + 43 * heads.width());
      }
    }
    EXPECT_LT(peak_megabytes() - before, kMegabytesMax) << mode;
  }
  const auto half = static_cast<std::ptrdiff_t>(outputs.size() / 2);
  EXPECT_TRUE(std::equal(outputs.begin(), outputs.begin() + half, outputs.begin() + half));
}

TEST(PagedOperator, RefusesWhatIsOutOfBounds) {
  const Heads heads;
  Ort::Session session =
      paged_graph(heads).session(TestRuntime::instance().ours({{"mode", "single"}}));
  const Tensors good = paged_inputs(heads, {.rows = {33, 2}, .past = {0, 0}},
                                    packed_rows(heads, 35, 1), empty_pages(heads));
  ASSERT_THAT(error_of(session, good), testing::IsEmpty());
  const auto with = [&](const std::string& name, const TestTensor& tensor) {
    Tensors changed = good;
    changed.at(name) = tensor;
    return error_of(session, changed);
  };
  const auto table = [](const std::vector<std::int32_t>& numbers) {
    return TestTensor::of({2, static_cast<std::int64_t>(numbers.size()) / 2}, numbers);
  };
  EXPECT_THAT(with("table", table({3, 16, 8, 0})),
              HasSubstr("sequence 0 names block 16 at place 1; the cache has 16"));
  EXPECT_THAT(with("table", table({3, 1, -1, 0})), HasSubstr("sequence 1 names block -1"));
  EXPECT_THAT(with("table", table({3, 8})), HasSubstr("33 tokens, which 1 blocks of 32"));
  EXPECT_THAT(with("past", TestTensor::of<std::int32_t>({2}, {0, -5})),
              HasSubstr("sequence 1 has a past of -5"));
  EXPECT_THAT(with("past", TestTensor::of<std::int32_t>({2}, {2147483647, 0})),
              HasSubstr("the rotary table 256 positions"));
  EXPECT_THAT(with("past", TestTensor::of<std::int32_t>({1}, {0})), HasSubstr("1 past lengths"));
  EXPECT_THAT(with("starts", TestTensor::of<std::int32_t>({3}, {0, 36, 35})),
              HasSubstr("begins at row 36 and ends at row 35"));
  EXPECT_THAT(with("starts", TestTensor::of<std::int32_t>({3}, {0, 33, 34})),
              HasSubstr("the starts go from 0 to 34, the rows are 35"));
  EXPECT_THAT(with("starts", TestTensor::of<std::int32_t>({3}, {1, 33, 35})),
              HasSubstr("the starts go from 1"));
  EXPECT_THAT(with("pages", TestTensor::of<std::uint8_t>({1, 3}, {1, 2, 3})),
              HasSubstr("the pages are [1, 3], expected [pages, "));
}

// com.microsoft.PagedAttention has no stock kernel on a CPU: what GroupQueryAttention gives is what
// it must give, within the rounding of its types.

std::vector<std::uint16_t> halves(const std::vector<float>& numbers, bool is_bf16) {
  std::vector<std::uint16_t> bits(numbers.size());
  std::ranges::transform(numbers, bits.begin(),
                         [&](float number) { return is_bf16 ? to_bf16(number) : to_f16(number); });
  return bits;
}

TestTensor half_tensor(const std::vector<std::int64_t>& dims, const std::vector<float>& numbers,
                       bool is_bf16) {
  TestTensor tensor = TestTensor::of(dims, halves(numbers, is_bf16));
  tensor.type =
      is_bf16 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
  return tensor;
}

constexpr std::int64_t kBlocks = 24;
constexpr std::int64_t kBlockTokens = 16;

TestGraph standard_paged_graph(const Heads& heads, bool is_bf16) {
  const auto type =
      is_bf16 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
  TestGraph graph;
  graph.input("q", type, {-1, heads.packed_width()});
  for (const char* name : {"kc", "vc"}) {
    graph.input(name, type, {-1, kBlockTokens, heads.kv_heads, heads.head_dim});
  }
  graph.input("starts", kInt, {-1});
  graph.input("past", kInt, {-1});
  graph.input("table", kInt, {-1, -1});
  graph.constant("cos", half_tensor({kPositions, heads.rotary_half}, angles(heads, true), is_bf16));
  graph.constant("sin",
                 half_tensor({kPositions, heads.rotary_half}, angles(heads, false), is_bf16));
  graph.output("o", type, {-1, heads.width()});
  for (const char* name : {"ko", "vo"}) {
    graph.output(name, type, {-1, kBlockTokens, heads.kv_heads, heads.head_dim});
  }
  graph.node("PagedAttention", "com.microsoft",
             {"q", "", "", "kc", "vc", "starts", "past", "table", "cos", "sin"}, {"o", "ko", "vo"},
             attributes_of(heads));
  return graph;
}

std::vector<float> widen(const TestTensor& tensor, bool is_bf16) {
  const auto bits = tensor.values<std::uint16_t>();
  std::vector<float> numbers(bits.size());
  std::ranges::transform(bits, numbers.begin(), [&](std::uint16_t half) {
    return is_bf16 ? from_bf16(half) : from_f16(half);
  });
  return numbers;
}

TEST(PagedAttention, IsAttentionOfEachSequenceAloneInBothTypes) {
  const Heads heads;
  const std::vector<float> first_a = packed_rows(heads, 30, 1);
  const std::vector<float> first_b = packed_rows(heads, 17, 2);
  const std::vector<float> second_a = packed_rows(heads, 1, 3);
  const std::vector<float> second_b = packed_rows(heads, 20, 4);
  const auto a = stock_steps(heads, first_a, second_a);
  const auto b = stock_steps(heads, first_b, second_b);
  for (const bool is_bf16 : {false, true}) {
    Ort::Session session =
        standard_paged_graph(heads, is_bf16).session(TestRuntime::instance().ours());
    ASSERT_EQ(our_nodes(session)["PagedAttention"], 1);
    const std::vector<std::int64_t> cache_dims{kBlocks, kBlockTokens, heads.kv_heads,
                                               heads.head_dim};
    const TestTensor empty = half_tensor(
        cache_dims,
        std::vector<float>(static_cast<std::size_t>(kBlocks * kBlockTokens * heads.kv_width())),
        is_bf16);
    const auto inputs = [&](const Batch& batch, const std::vector<float>& rows,
                            const TestTensor& keys, const TestTensor& values) {
      Tensors all = paged_inputs(heads, batch, rows, {});
      all.erase("pages");
      all.at("q") = half_tensor({batch.all_rows(), heads.packed_width()}, rows, is_bf16);
      all.emplace("kc", keys);
      all.emplace("vc", values);
      return all;
    };
    const Tensors first = run(
        session, inputs({.rows = {30, 17}, .past = {0, 0}}, join(first_a, first_b), empty, empty));
    const Tensors second =
        run(session, inputs({.rows = {1, 20}, .past = {30, 17}}, join(second_a, second_b),
                            first.at("ko"), first.at("vo")));
    const double tolerance = is_bf16 ? 0.04 : kBf16Error;
    EXPECT_LT(relative_error(widen(first.at("o"), is_bf16), join(a[0], b[0])), tolerance);
    EXPECT_LT(relative_error(widen(second.at("o"), is_bf16), join(a[1], b[1])), tolerance);
    EXPECT_THAT(error_of(session, inputs({.rows = {30, 17}, .past = {0, -1}},
                                         join(first_a, first_b), empty, empty)),
                HasSubstr("sequence 1 has a past of -1"));
  }
}

}  // namespace
}  // namespace onnxlocal::ep
