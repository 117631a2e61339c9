#pragma once

#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/model_session.h"

/// The language of the runtime's tests: tiny decoders with random weights (tests/data), copies of
/// their folders that may be damaged, and logits of a text.
namespace onnxlocal::testing {

inline std::filesystem::path tiny_model(const std::string& name) {
  return std::filesystem::path(ONNXLOCAL_TEST_DATA) / name;
}

/// A folder of this test's own, removed at its end.
class ScratchFolder {
 public:
  ScratchFolder() {
    const auto* const test = ::testing::UnitTest::GetInstance()->current_test_info();
    std::string name = std::string(test->test_suite_name()) + "." + test->name();
    for (char& c : name) c = c == '/' ? '_' : c;
    path_ = std::filesystem::path(::testing::TempDir()) / ("onnxlocal_" + name);
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path copy_of(const std::filesystem::path& folder) const {
    const auto target = path_ / folder.filename();
    std::filesystem::copy(folder, target, std::filesystem::copy_options::recursive);
    return target;
  }

 private:
  std::filesystem::path path_;
};

inline ModelFolder read_folder(const std::filesystem::path& path) {
  auto folder = read_model_folder(path);
  EXPECT_TRUE(folder.has_value()) << describe(folder.error());
  return folder.value_or(ModelFolder{});
}

inline RuntimeOptions small_options(const std::filesystem::path& cache_folder = {}) {
  RuntimeOptions options;
  options.threads = 1;
  options.slots = 4;
  options.execution_providers = {{.name = "cpu", .options = {}, .library = {}}};
  options.cache_folder = cache_folder;
  return options;
}

inline Result<LoadedDecoder> try_load(const std::filesystem::path& folder,
                                      const RuntimeOptions& options) {
  auto read = read_model_folder(folder);
  if (!read) return std::unexpected(read.error());
  return load_decoder(*read, options);
}

inline std::unique_ptr<Decoder> load(const std::filesystem::path& folder,
                                     const RuntimeOptions& options = small_options()) {
  auto loaded = try_load(folder, options);
  EXPECT_TRUE(loaded.has_value()) << describe(loaded.error());
  return loaded ? std::move(loaded->decoder) : nullptr;
}

inline std::vector<TokenId> text_tokens(std::size_t count, unsigned seed = 1) {
  std::vector<TokenId> tokens(count);
  for (std::size_t i = 0; i < count; ++i) {
    tokens[i] = static_cast<TokenId>((i * 37 + seed * 101 + i * i) % 256);
  }
  return tokens;
}

inline std::vector<float> values_of(const Result<Logits>& logits) {
  EXPECT_TRUE(logits.has_value()) << describe(logits.error());
  if (!logits) return {};
  return {logits->values.begin(), logits->values.end()};
}

/// Logits of the last token after `tokens` in the slot, in chunks of `chunk`.
inline std::vector<float> feed(Decoder& decoder, SlotId slot, std::span<const TokenId> tokens,
                               std::size_t chunk = 64) {
  std::vector<float> last;
  for (std::size_t i = 0; i < tokens.size(); i += chunk) {
    const Step step{.slot = slot, .tokens = tokens.subspan(i, std::min(chunk, tokens.size() - i))};
    last = values_of(decoder.forward({&step, 1}));
  }
  return last;
}

inline float distance(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  float most = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    most = std::max(most, std::abs(a[i] - b[i]));
  }
  return most;
}

}  // namespace onnxlocal::testing
