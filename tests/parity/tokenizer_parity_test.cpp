// Our tokenizer.json of the default model against llama.cpp's tokens of the same GGUF file. The
// texts and the reference: make_tokenizer_reference.py.

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/file_system.h"
#include "base/json.h"
#include "import/gguf_tokenizer.h"
#include "text/tokenizer.h"

namespace onnxlocal {
namespace {

constexpr std::string_view kModel = ".deps/models/SmolLM2-135M-Instruct.Q4_1.gguf";
constexpr std::string_view kSeparator = "\n=== next ===\n";

std::string read_test_data(const std::string& name) {
  return read_text_file(std::string(ONNXLOCAL_TEST_DATA) + "/" + name, std::size_t{16} << 20)
      .value();
}

std::vector<std::string> split_texts(const std::string& content) {
  std::vector<std::string> texts;
  std::size_t start = 0;
  while (true) {
    const std::size_t end = content.find(kSeparator, start);
    texts.push_back(content.substr(start, end - start));
    if (end == std::string::npos) return texts;
    start = end + kSeparator.size();
  }
}

/// The running hash after each `stride` tokens and after the last, as the script writes them.
std::string running_hashes(const std::vector<TokenId>& tokens, std::size_t stride) {
  std::uint64_t value = 0xcbf29ce484222325U;
  std::string hashes;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    for (int shift = 0; shift < 32; shift += 8) {
      value = (value ^ (static_cast<std::uint32_t>(tokens[i]) >> shift & 0xffU)) * 0x100000001b3U;
    }
    if (i % stride == stride - 1 || i == tokens.size() - 1) {
      hashes += fmt::format("{:08x}", value & 0xffffffffU);
    }
  }
  return hashes;
}

class TokenizerParity : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(std::filesystem::exists(kModel)) << kModel << " is missing: run `make build`";
    const auto file = GgufFile::open(kModel);
    ASSERT_TRUE(file.has_value()) << describe(file.error());
    const auto tokenizer_json = tokenizer_json_from_gguf(*file);
    ASSERT_TRUE(tokenizer_json.has_value()) << describe(tokenizer_json.error());
    auto tokenizer = Tokenizer::from_json(*tokenizer_json);
    ASSERT_TRUE(tokenizer.has_value()) << describe(tokenizer.error());
    tokenizer_ = *std::move(tokenizer);
    tokens_ = read_gguf_tokens(*file).value();
    auto reference = json::parse(read_test_data("tokenizer_reference.json"));
    ASSERT_TRUE(reference.has_value()) << describe(reference.error());
    reference_ = reference->as_object();
  }

  /// Compares every text; `kind` is the reference's name for `special`.
  void expect_the_same_tokens(SpecialTokens special, const char* kind) {
    const auto stride = reference_.at("hashed_tokens").to_number<std::size_t>();
    std::size_t compared = 0;
    for (const json::value& entry : reference_.at("texts").as_array()) {
      const std::string file(entry.at("file").as_string());
      if (!texts_.contains(file)) texts_[file] = split_texts(read_test_data(file));
      const auto index = entry.at("text").to_number<std::size_t>();
      ASSERT_LT(index, texts_[file].size()) << file << ": make the reference again";
      const auto tokens = tokenizer_->encode(texts_[file][index], special).value();
      const auto& expected = entry.at(kind);
      const std::string hashes = running_hashes(tokens, stride);
      const std::string expected_hashes(expected.at("hashes").as_string());
      std::size_t same = 0;
      while (same + 8 <= hashes.size() && hashes.compare(same, 8, expected_hashes, same, 8) == 0) {
        same += 8;
      }
      const std::size_t first = same / 8 * stride;
      EXPECT_TRUE(hashes == expected_hashes &&
                  tokens.size() == expected.at("tokens").to_number<std::size_t>())
          << fmt::format(
                 "{} text {} {}: {} tokens, expected {}; the first difference is in tokens "
                 "[{}, {}), where ours are {}",
                 file, index, kind, tokens.size(), expected.at("tokens").to_number<std::size_t>(),
                 first, first + stride,
                 fmt::join(
                     tokens.begin() + static_cast<long>(std::min(first, tokens.size())),
                     tokens.begin() + static_cast<long>(std::min(first + stride, tokens.size())),
                     " "));
      compared += tokens.size();
    }
    EXPECT_GT(compared, 50'000U);
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  GgufTokens tokens_;
  json::object reference_;
  std::map<std::string, std::vector<std::string>> texts_;
};

TEST_F(TokenizerParity, TextIsTokenizedAsLlamaCppDoes) {
  expect_the_same_tokens(SpecialTokens::kAsText, "as_text");
}

TEST_F(TokenizerParity, SpecialTokensAreParsedAsLlamaCppDoes) {
  expect_the_same_tokens(SpecialTokens::kParsed, "parsed");
}

TEST_F(TokenizerParity, TextOfAClientNeverBecomesASpecialToken) {
  for (const std::string& text : split_texts(read_test_data("tokenizer_corpus.txt"))) {
    const auto tokens = tokenizer_->encode(text, SpecialTokens::kAsText).value();
    for (const TokenId token : tokens) {
      ASSERT_FALSE(tokenizer_->is_special(token)) << token << " in: " << text;
    }
  }
}

TEST_F(TokenizerParity, TheDefaultModelEndsItsTurnsAsItsFileSays) {
  EXPECT_EQ(tokens_.vocabulary_size, 49152U);
  EXPECT_EQ(tokens_.eos_token, 2);
  EXPECT_EQ(tokens_.eos_text, "<|im_end|>");
  EXPECT_EQ(tokens_.end_tokens, (std::vector<TokenId>{2, 0}));
  EXPECT_FALSE(tokens_.adds_bos);
  EXPECT_NE(tokens_.chat_template.find("<|im_start|>"), std::string::npos);
}

}  // namespace
}  // namespace onnxlocal
