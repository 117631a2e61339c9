#include "store/model_store.h"

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <latch>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file_lock.h"
#include "store/disk_preflight.h"
#include "store/embedding_models.h"
#include "tiny_gguf.h"

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// An environment variable for the length of a test.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    if (value != nullptr) {
      ::setenv(name, value, 1);
    } else {
      ::unsetenv(name);
    }
  }
  ~ScopedVariable() {
    if (old_) {
      ::setenv(name_, old_->c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }

 private:
  const char* name_;
  std::optional<std::string> old_;
};

/// No file grows beyond this while it lives: writes then fail as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{.rlim_cur = bytes, .rlim_max = old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  void (*old_handler_)(int);
};

class ModelStoreTest : public testing::Test {
 protected:
  ModelStoreTest()
      : home_(fs::temp_directory_path() /
              ("onnxlocal-store-" + std::to_string(::getpid()) + "-" +
               testing::UnitTest::GetInstance()->current_test_info()->name())) {
    fs::create_directories(models());
  }
  ~ModelStoreTest() override { fs::remove_all(home_); }

  fs::path models() const { return home_ / "models"; }
  ModelStore store() const {
    return ModelStore(StorePaths{.models = models(), .cache = home_ / "cache"});
  }
  void write(const fs::path& file, std::string_view text) const {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  /// A folder by this name, which no model can be loaded from.
  void make_broken_model(const std::string& name) const {
    write(models() / name / "manifest.json", "{");
  }

  fs::path home_;
  ScopedVariable no_model_{"ONNX_LOCAL_MODEL", nullptr};
  ScopedVariable no_path_{"ONNX_MODEL_PATH", nullptr};
};

TEST_F(ModelStoreTest, IsEmptyWhereThereIsNoFolder) {
  fs::remove_all(models());
  EXPECT_TRUE(store().list().empty());
  const auto name = store().default_model();
  ASSERT_FALSE(name);
  EXPECT_EQ(name.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(name.error().hint, HasSubstr("onnx-local import"));
}

TEST_F(ModelStoreTest, ListsABrokenModelWithItsProblem) {
  make_broken_model("broken");
  const auto models = store().list();
  ASSERT_EQ(models.size(), 1U);
  EXPECT_EQ(models[0].name, "broken");
  EXPECT_FALSE(models[0].problem.empty());
}

TEST_F(ModelStoreTest, ListsByNameAndLeavesOutWhatIsNoModel) {
  make_broken_model("b");
  make_broken_model("a");
  make_broken_model(".a.staging-1-1");
  write(models() / ".a.lock", "");
  write(models() / "file", "");
  const auto models = store().list();
  ASSERT_EQ(models.size(), 2U);
  EXPECT_EQ(models[0].name, "a");
  EXPECT_EQ(models[1].name, "b");
}

TEST_F(ModelStoreTest, TakesTheOnlyModelAsTheDefault) {
  make_broken_model("only");
  EXPECT_EQ(store().default_model().value(), "only");
}

TEST_F(ModelStoreTest, PrefersItsOwnDefaultModelAmongSeveral) {
  make_broken_model("another");
  make_broken_model("smollm2-135m-instruct");
  EXPECT_EQ(store().default_model().value(), "smollm2-135m-instruct");
}

TEST_F(ModelStoreTest, AsksWhereSeveralModelsCouldBeMeant) {
  make_broken_model("one");
  make_broken_model("two");
  const auto name = store().default_model();
  ASSERT_FALSE(name);
  EXPECT_THAT(name.error().message, HasSubstr("one, two"));
}

TEST_F(ModelStoreTest, KnowsAnEmbeddingModelAmongTheOthers) {
  make_broken_model("writer");
  fs::copy(ONNXLOCAL_TEST_DATA "/tiny_embedding", models() / "vectors",
           fs::copy_options::recursive);
  write(models() / "vectors-without-graph" / "modules.json", "[]");
  EXPECT_EQ(store().list().at(0).problem, "") << "vectors";
  EXPECT_EQ(store().default_model().value(), "writer");
  const auto folders = list_embedding_models(store().paths());
  ASSERT_EQ(folders.size(), 1U) << "one that cannot be used is left out";
  EXPECT_EQ(folders[0].name, "vectors");
  const auto text = store().resolve("vectors");
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().message, HasSubstr("vectors is an embedding model"));
}

TEST_F(ModelStoreTest, FindsAnEmbeddingModelByNameOrPath) {
  const fs::path elsewhere = ONNXLOCAL_TEST_DATA "/tiny_embedding";
  fs::copy(elsewhere, models() / "vectors", fs::copy_options::recursive);
  make_broken_model("writer");
  const StorePaths paths = store().paths();
  EXPECT_EQ(find_embedding_model(paths, "onnx-local/vectors"), models() / "vectors");
  EXPECT_EQ(find_embedding_model(paths, elsewhere.string()), elsewhere);
  EXPECT_EQ(find_embedding_model(paths, "writer"), std::nullopt);
  EXPECT_EQ(find_embedding_model(paths, ""), std::nullopt);
}

TEST_F(ModelStoreTest, LetsTheEnvironmentNameTheDefault) {
  make_broken_model("one");
  make_broken_model("two");
  const ScopedVariable chosen("ONNX_LOCAL_MODEL", "onnx-local/two");
  EXPECT_EQ(store().default_model().value(), "two");
}

TEST_F(ModelStoreTest, NamesWhatIsThereWhenAModelIsNot) {
  make_broken_model("one");
  const auto model = store().resolve("tow");
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(model.error().message, HasSubstr("tow"));
  EXPECT_THAT(model.error().hint, HasSubstr("one"));
}

TEST_F(ModelStoreTest, TakesTheModelPathWhenNoneIsNamed) {
  make_broken_model("one");
  const ScopedVariable path("ONNX_MODEL_PATH", "/nowhere/model.onnx");
  const auto model = store().resolve("");
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().message, HasSubstr("/nowhere/model.onnx"));
}

TEST_F(ModelStoreTest, RefusesAnImportUnderANameThatLeavesTheFolder) {
  write(home_ / "x.gguf", "GGUF");
  const auto model = store().import(home_ / "x.gguf", {.name = "../x"});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kInvalidRequest);
}

TEST_F(ModelStoreTest, LeavesNothingBehindWhenAnImportFails) {
  write(home_ / "Bad File.gguf", "this is not GGUF");
  write(models() / ".bad-file.staging-99999999-1" / "model.onnx", "left by a kill");
  const auto model = store().import(home_ / "Bad File.gguf", {});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kModelCorrupt);
  EXPECT_TRUE(store().list().empty());
  EXPECT_FALSE(fs::exists(models() / ".bad-file.staging-99999999-1"));
}

TEST_F(ModelStoreTest, LeavesNothingBehindWhenTheDiskIsFull) {
  ASSERT_TRUE(test::tiny_gguf({.type = GgmlType::kQ4_1}).write(home_ / "tiny.gguf"));
  // At every size the disk is full at another place, until the largest file fits.
  int failures = 0;
  for (rlim_t bytes = 1;; bytes *= 2) {
    Result<StoredModel> model = std::unexpected(Error{});
    {
      const FileSizeLimit limit(bytes);
      model = store().import(home_ / "tiny.gguf", {});
    }
    if (model) break;
    ++failures;
    EXPECT_EQ(model.error().code, ErrorCode::kDiskFull) << describe(model.error());
    std::vector<std::string> left;
    for (const auto& entry : fs::recursive_directory_iterator(models())) {
      left.push_back(entry.path().filename());
    }
    EXPECT_EQ(left, std::vector<std::string>{".tiny.lock"}) << bytes;
  }
  EXPECT_GT(failures, 10);
  EXPECT_EQ(store().list().size(), 1U);
  EXPECT_EQ(store().list().front().problem, "");
}

TEST_F(ModelStoreTest, ALongerWindowIsAModelOfItsOwn) {
  ASSERT_TRUE(test::tiny_gguf({}).write(home_ / "tiny.gguf"));
  ASSERT_TRUE(store().import(home_ / "tiny.gguf", {}));
  const auto longer =
      store().import(home_ / "tiny.gguf", {.context = ContextChoice{.tokens = 2048}});
  ASSERT_TRUE(longer) << describe(longer.error());
  EXPECT_EQ(longer->name, "tiny-2k");
  EXPECT_EQ(longer->manifest.context->tokens, 2048U);
  EXPECT_EQ(store().resolve("tiny-2k")->config.context_tokens, 2048U);
  EXPECT_EQ(store().resolve("tiny")->config.context_tokens, 64U);
}

TEST_F(ModelStoreTest, AFileThatIsNamedHasItsOwnWindow) {
  ASSERT_TRUE(test::tiny_gguf({}).write(home_ / "tiny.gguf"));
  const ImportOptions options{.name = "tiny", .context = ContextChoice{.tokens = 2048}};
  ASSERT_TRUE(store().import(home_ / "tiny.gguf", options));
  const auto model = store().resolve((home_ / "tiny.gguf").string());
  ASSERT_TRUE(model) << describe(model.error());
  EXPECT_EQ(model->config.context_tokens, 64U);
}

TEST_F(ModelStoreTest, SaysThatAFileIsMissing) {
  const auto model = store().import(home_ / "none.gguf", {});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kNotFound);
}

TEST_F(ModelStoreTest, WaitsForAnotherImportOfTheSameName) {
  write(home_ / "bad.gguf", "this is not GGUF");
  auto held = FileLock::acquire(models() / ".bad.lock");
  ASSERT_TRUE(held);
  std::latch is_waiting(1);
  Result<StoredModel> outcome = std::unexpected(Error{});
  std::jthread other([&] {
    outcome = store().import(home_ / "bad.gguf", {}, {}, [&](std::string_view what, auto, auto) {
      if (what.starts_with("waiting")) is_waiting.count_down();
    });
  });
  is_waiting.wait();
  held = std::unexpected(Error{});
  other.join();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kModelCorrupt);
}

TEST_F(ModelStoreTest, RefusesWhatTheDiskHasNoRoomFor) {
  const auto room = check_disk_space(models(), std::uint64_t{1} << 60);
  ASSERT_FALSE(room);
  EXPECT_EQ(room.error().code, ErrorCode::kDiskFull);
  EXPECT_THAT(room.error().message, HasSubstr("free"));
  EXPECT_TRUE(check_disk_space(home_ / "not" / "there" / "yet", 1));
}

TEST_F(ModelStoreTest, CountsTheEightBitWeightsOfTheFirstLoad) {
  const auto write_tiny = [&](GgmlType type) {
    EXPECT_TRUE(test::tiny_gguf({.type = type}).write(home_ / "tiny.gguf"));
    return GgufFile::open(home_ / "tiny.gguf");
  };
  for (const GgmlType type : {GgmlType::kQ4_0, GgmlType::kF16}) {
    EXPECT_EQ(sidecar_bytes_estimate(write_tiny(type).value()), 0U);
  }
  const auto file = write_tiny(GgmlType::kQ4_1);
  ASSERT_TRUE(file.has_value());
  std::uint64_t least = 0;
  for (const GgufTensor& tensor : file->tensors()) {
    least += tensor.type == GgmlType::kQ4_1 ? tensor.value_count() : tensor.data.size();
  }
  EXPECT_GT(sidecar_bytes_estimate(*file), least);
  EXPECT_TRUE(check_import_space(store().paths(), home_ / "tiny.gguf"));
}

TEST_F(ModelStoreTest, CountsTheWeightsThatTheFirstLoadPacks) {
  const auto estimate = [&](GgmlType type) {
    EXPECT_TRUE(test::tiny_gguf({.type = type}).write(home_ / "tiny.gguf"));
    const auto file = GgufFile::open(home_ / "tiny.gguf");
    EXPECT_TRUE(file.has_value());
    std::uint64_t quantized = 0;
    for (const GgufTensor& tensor : file->tensors()) {
      if (tensor.type == type) quantized += tensor.data.size();
    }
    return std::pair(packed_bytes_estimate(*file), quantized);
  };
  for (const GgmlType type : {GgmlType::kQ4_0, GgmlType::kQ4_1, GgmlType::kQ8_0}) {
    const auto [packed, quantized] = estimate(type);
    EXPECT_GT(packed, quantized);
  }
  EXPECT_EQ(estimate(GgmlType::kF16).first, 0U);
}

TEST(StorePaths, FollowTheHomeVariableElseXdg) {
  {
    const ScopedVariable home("ONNX_LOCAL_HOME", "/somewhere");
    EXPECT_EQ(store_paths()->models, "/somewhere/models");
    EXPECT_EQ(store_paths()->cache, "/somewhere/cache");
  }
  const ScopedVariable home("ONNX_LOCAL_HOME", nullptr);
  const ScopedVariable user("HOME", "/home/someone");
  {
    const ScopedVariable data("XDG_DATA_HOME", "relative/is/ignored");
    const ScopedVariable cache("XDG_CACHE_HOME", "/fast");
    EXPECT_EQ(store_paths()->models, "/home/someone/.local/share/onnx-local/models");
    EXPECT_EQ(store_paths()->cache, "/fast/onnx-local");
  }
  const ScopedVariable no_data("XDG_DATA_HOME", nullptr);
  const ScopedVariable no_home("HOME", nullptr);
  EXPECT_FALSE(store_paths());
}

}  // namespace
}  // namespace onnxlocal
