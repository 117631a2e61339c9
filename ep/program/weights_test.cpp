// Constants from files, packed files, and what is kept of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "program/tiny_batch.h"

namespace onnxlocal::ep::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A tiny decoder whose larger constants lie in a file, as exporters write them.
class ExternalModel : public ::testing::Test {
 protected:
  ExternalModel() {
    folder_ =
        std::filesystem::temp_directory_path() /
        ("onnxlocal-weights-" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) +
         ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    model_.build(builder_);
    std::ofstream data(folder_ / "model.data", std::ios::binary);
    std::uint64_t offset = 0;
    for (auto& value : builder_.graph().values) {
      if (!value.constant || value.constant->bytes.size() < 512) continue;
      const auto bytes = value.constant->bytes;
      data.write(reinterpret_cast<const char*>(bytes.data()),
                 static_cast<std::streamsize>(bytes.size()));
      value.constant->place = ExternalPlace{
          .file = (folder_ / "model.data").string(), .offset = offset, .bytes = bytes.size()};
      value.constant->bytes = {};
      offset += bytes.size();
    }
  }
  ~ExternalModel() override { std::filesystem::remove_all(folder_); }

  auto compile_it(const std::filesystem::path& packed = {},
                  const std::filesystem::path& profile = {}) {
    return compile(builder_.graph(),
                   {.pool = pool_,
                    .set = InstructionSet::kPortable,
                    .packed_file = packed,
                    .profile = profile,
                    .warn = [this](std::string_view text) { warnings_.emplace_back(text); }});
  }

  TinyModel model_;
  GraphBuilder builder_;
  ThreadPool pool_{1};
  std::filesystem::path folder_;
  std::vector<std::string> warnings_;
};

TEST_F(ExternalModel, IsReadFromItsFile) { EXPECT_TRUE(compile_it().has_value()); }

TEST_F(ExternalModel, LooksAtNoFileToSayThatItCanRun) {
  std::filesystem::remove(folder_ / "model.data");
  EXPECT_EQ(why_not_whole(builder_.graph()), "");
}

TEST_F(ExternalModel, SaysThatItsFileIsMissing) {
  std::filesystem::remove(folder_ / "model.data");
  const auto made = compile_it();
  ASSERT_FALSE(made.has_value());
  EXPECT_THAT(made.error(), HasSubstr("model.data cannot be read: No such file"));
}

TEST_F(ExternalModel, SaysThatItsFileIsTooShort) {
  const auto size = std::filesystem::file_size(folder_ / "model.data");
  std::filesystem::resize_file(folder_ / "model.data", size - 1);
  const auto made = compile_it();
  ASSERT_FALSE(made.has_value());
  EXPECT_THAT(made.error(), HasSubstr("model.data is too short"));
  EXPECT_THAT(made.error(), HasSubstr("the file has " + std::to_string(size - 1)));
}

TEST_F(ExternalModel, SaysThatAMatrixHasAnotherSize) {
  auto& values = builder_.graph().values;
  const auto quants = std::ranges::find(values, "layer1.down.quants", &Value::name);
  quants->constant->place->bytes -= 16;
  quants->constant->dims = {static_cast<std::int64_t>(quants->constant->place->bytes)};
  const auto made = compile_it();
  ASSERT_FALSE(made.has_value());
  EXPECT_THAT(made.error(), HasSubstr("layer1.down.quants"));
}

TEST_F(ExternalModel, SaysThatBytesAndShapeDiffer) {
  auto& values = builder_.graph().values;
  std::ranges::find(values, "layer0.q.quants", &Value::name)->constant->place->bytes -= 1;
  const auto made = compile_it();
  ASSERT_FALSE(made.has_value());
  EXPECT_THAT(made.error(), HasSubstr("'layer0.q.quants' of shape [64, 2, 16]"));
}

TEST_F(ExternalModel, IsPackedOnceForAllStarts) {
  const auto packed = folder_ / "packed";
  ASSERT_TRUE(compile_it(packed).has_value());
  const auto written = std::filesystem::last_write_time(packed);
  ASSERT_TRUE(compile_it(packed).has_value());
  EXPECT_EQ(std::filesystem::last_write_time(packed), written);
  EXPECT_THAT(warnings_, IsEmpty());
}

TEST_F(ExternalModel, IsPackedAnewWhenItsFileHasChanged) {
  const auto packed = folder_ / "packed";
  ASSERT_TRUE(compile_it(packed).has_value());
  const auto file = folder_ / "model.data";
  std::filesystem::last_write_time(
      file, std::filesystem::last_write_time(file) + std::chrono::seconds(5));
  const auto before = std::filesystem::last_write_time(packed);
  ASSERT_TRUE(compile_it(packed).has_value());
  EXPECT_GT(std::filesystem::last_write_time(packed), before);
}

TEST_F(ExternalModel, RunsWithoutAPackedFileWhereNoneCanBeKept) {
  ASSERT_TRUE(compile_it(folder_ / "model.data" / "packed").has_value());
  EXPECT_FALSE(warnings_.empty());
}

TEST_F(ExternalModel, WritesALineForEachKindOfInstruction) {
  const auto profile = folder_ / "profile";
  {
    ASSERT_TRUE(compile_it({}, profile).has_value());
  }
  std::ifstream lines(profile);
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, R"({"kind":"run","calls":0,"rows":0})");
}

TEST(Weights, AnEmbeddingThatEqualsTheOutputMatrixIsPackedOnce) {
  const auto tokens = random_tokens(5, 70);
  TinyModel model;
  TinyProgram tied(model);
  const auto wanted = CacheRun(tied).step({tokens});
  // A copy of the same bytes elsewhere, as constant folding leaves it.
  GraphBuilder builder;
  model.build(builder);
  auto& graph = builder.graph();
  const auto quants = std::ranges::find(graph.values, "output.quants", &Value::name);
  const std::vector<std::byte> copy(quants->constant->bytes.begin(), quants->constant->bytes.end());
  auto& folded = *std::ranges::find(graph.values, "table", &Value::name);
  folded.type = ElementType::kUint8;
  folded.constant =
      Constant{.type = ElementType::kUint8, .dims = {70, 64}, .bytes = copy, .place = std::nullopt};
  std::erase_if(graph.nodes, [](const Node& node) { return node.op == "Reshape"; });
  connect(graph);
  const auto packed = std::filesystem::temp_directory_path() / "onnxlocal-weights-tied";
  const auto size_of = [&](Graph& which) {
    std::filesystem::remove(packed);
    ThreadPool pool(1);
    const auto made = compile(which, {.pool = pool,
                                      .set = InstructionSet::kPortable,
                                      .packed_file = packed,
                                      .profile = {},
                                      .warn = {}});
    EXPECT_TRUE(made.has_value());
    return std::filesystem::file_size(packed);
  };
  EXPECT_EQ(size_of(graph), size_of(tied.graph()));
  std::filesystem::remove(packed);
  EXPECT_EQ(wanted.size(), 5U * 70U);
}

}  // namespace
}  // namespace onnxlocal::ep::testing
