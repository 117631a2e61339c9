#include "runtime/stock_cpu_rewrite.h"

#include <fstream>
#include <map>

#include <gmock/gmock.h>
#include <onnx/onnx_pb.h>

#include "model/onnx_file.h"
#include "runtime/decoder_shared.h"
#include "runtime/open_session.h"
#include "runtime/test_models.h"

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;
using testing::distance;
using testing::feed;
using testing::load;
using testing::ScratchFolder;
using testing::small_options;
using testing::text_tokens;
using testing::tiny_model;

class EightBitModel : public ::testing::Test {
 protected:
  EightBitModel() : folder_(testing::read_folder(tiny_model("tiny_onnx_q4"))) {
    EXPECT_TRUE(read_onnx_file(folder_.model_file(), model_).has_value());
  }

  Result<PreparedModel> prepare(const fs::path& cache) const {
    return prepare_eight_bit_model(folder_, model_, cache, {}, {});
  }
  fs::path copy_of_model() const { return scratch_.copy_of(folder_.path); }
  fs::path cache() const { return scratch_.path() / "cache"; }
  const onnx::ModelProto& model() const { return model_; }
  const ModelFolder& folder() const { return folder_; }

 private:
  ScratchFolder scratch_;
  ModelFolder folder_;
  onnx::ModelProto model_;
};

/// Name, size and time of every file in a folder, but for the note of the last use.
std::map<std::string, std::pair<std::uintmax_t, fs::file_time_type>> listing(
    const fs::path& folder) {
  std::map<std::string, std::pair<std::uintmax_t, fs::file_time_type>> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename() == "made_from") continue;
    files[entry.path().filename()] = {entry.file_size(), entry.last_write_time()};
  }
  return files;
}

/// Logits of some text by the exact 4-bit graph, which the stock provider runs slowly.
std::vector<float> exact_logits(const ModelFolder& folder) {
  RuntimeOptions options = small_options();
  options.graph_optimization = GraphOptimization::kDisabled;
  const ExecutionProviderChoice cpu{.name = "cpu", .options = {}, .library = {}};
  auto session = open_session(folder.model_file(), cpu, options, {});
  EXPECT_TRUE(session.has_value());
  const auto graph = inspect_session(session->session, folder.config);
  EXPECT_TRUE(graph.has_value());
  const auto decoder = make_shared_decoder(
      *std::move(session), folder.config, *graph,
      {.slots = 1, .slot_tokens_max = 256, .chunk_tokens_max = 64}, "exact", {});
  EXPECT_TRUE(decoder.has_value());
  return feed(**decoder, SlotId{0}, text_tokens(40));
}

TEST_F(EightBitModel, IsNeededForFloatZeroPointsAlone) {
  EXPECT_TRUE(needs_eight_bit_weights(model()));
  onnx::ModelProto plain;
  ASSERT_TRUE(read_onnx_file(tiny_model("tiny_onnx") / "model.onnx", plain).has_value());
  EXPECT_FALSE(needs_eight_bit_weights(plain));
}

TEST_F(EightBitModel, GivesTheLogitsOfTheExactOne) {
  // With float32 arithmetic: 8-bit activations would move these logits, of size 20, more than the
  // weights do.
  onnx::ModelProto precise = model();
  for (onnx::NodeProto& node : *precise.mutable_graph()->mutable_node()) {
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      if (attribute.name() == "accuracy_level") attribute.set_i(1);
    }
  }
  const fs::path path = copy_of_model();
  ASSERT_TRUE(write_onnx_file(path / "model.onnx", precise).has_value());
  const auto decoder = load(path, small_options(cache()));
  const auto exact = exact_logits(testing::read_folder(path));
  EXPECT_LT(distance(exact, feed(*decoder, SlotId{0}, text_tokens(40))), 0.3F);
}

TEST_F(EightBitModel, IsMadeOnceAndLeavesTheModelAlone) {
  const auto source = listing(folder().path);
  const auto first = prepare(cache());
  ASSERT_TRUE(first.has_value()) << describe(first.error());
  const auto made = listing(first->file.parent_path());
  const auto second = prepare(cache());
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->file, first->file);
  EXPECT_EQ(listing(second->file.parent_path()), made);
  EXPECT_EQ(listing(folder().path), source);
  EXPECT_EQ(std::distance(fs::directory_iterator(cache() / "derived"), {}), 1);
}

TEST_F(EightBitModel, OfAnEarlierVersionGoesOnceNobodyUsesIt) {
  const fs::path path = copy_of_model();
  const auto keys = [&] { return std::distance(fs::directory_iterator(cache() / "derived"), {}); };
  auto decoder = load(path, small_options(cache()));
  fs::last_write_time(path / "model.onnx", fs::file_time_type::clock::now());
  EXPECT_TRUE(load(path, small_options(cache())));
  EXPECT_EQ(keys(), 2) << "the first is in use";
  decoder.reset();
  EXPECT_TRUE(load(path, small_options(cache())));
  EXPECT_EQ(keys(), 1);
}

TEST_F(EightBitModel, IsMadeAnewWhereItIsDamaged) {
  const auto first = prepare(cache());
  ASSERT_TRUE(first.has_value());
  const auto whole = fs::file_size(first->file.string() + ".data");
  fs::resize_file(first->file.string() + ".data", whole / 2);
  const auto second = prepare(cache());
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(fs::file_size(second->file.string() + ".data"), whole);
  std::ofstream(second->file, std::ios::in | std::ios::out).seekp(500) << "damage";
  const auto third = prepare(cache());
  ASSERT_TRUE(third.has_value());
  onnx::ModelProto model;
  EXPECT_TRUE(read_onnx_file(third->file, model).has_value());
  EXPECT_FALSE(needs_eight_bit_weights(model));
}

TEST_F(EightBitModel, IsMadeForThisStartWhereTheCacheCannotBeWritten) {
  // A file stands where the folder should be: that stops root too.
  std::ofstream(cache()) << "not a folder";
  fs::path file;
  {
    const auto prepared = prepare(cache());
    ASSERT_TRUE(prepared.has_value()) << describe(prepared.error());
    EXPECT_EQ(prepared->weights, "q8");
    file = prepared->file;
    EXPECT_TRUE(fs::exists(file));
  }
  EXPECT_FALSE(fs::exists(file));
  const auto decoder = load(folder().path, small_options(cache()));
  EXPECT_EQ(feed(*decoder, SlotId{0}, text_tokens(4)).size(), 259U);
}

TEST_F(EightBitModel, StopsWhenAskedAndLeavesNothing) {
  std::stop_source stop;
  stop.request_stop();
  const auto prepared = prepare_eight_bit_model(folder(), model(), cache(), stop.get_token(), {});
  ASSERT_FALSE(prepared.has_value());
  EXPECT_EQ(prepared.error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(!fs::exists(cache() / "derived") || fs::is_empty(cache() / "derived"));
}

TEST_F(EightBitModel, TellsHowFarItIs) {
  std::uint64_t last = 0;
  std::uint64_t total = 0;
  const ProgressSink sink = [&](std::string_view, std::uint64_t done, std::uint64_t all) {
    EXPECT_GE(done, last);
    last = done;
    total = all;
  };
  ASSERT_TRUE(prepare_eight_bit_model(folder(), model(), cache(), {}, sink).has_value());
  EXPECT_EQ(last, total);
  EXPECT_GT(total, 0U);
}

}  // namespace
}  // namespace onnxlocal
