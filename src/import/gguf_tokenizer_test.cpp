// Vocabularies of a dozen tokens, read by our own Tokenizer: what a real one gives is compared with
// llama.cpp in tests/parity.
#include "import/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "gguf_writer.h"
#include "import/pre_tokenizers.h"
#include "text/tokenizer.h"

namespace onnxlocal {
namespace {

using test::GgufWriter;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::int32_t kNormal = 1;
constexpr std::int32_t kUnknown = 2;
constexpr std::int32_t kControl = 3;
constexpr std::int32_t kUserDefined = 4;
constexpr std::int32_t kByte = 6;

struct Token {
  std::string text;
  std::int32_t kind = kNormal;
  float score = 0;
};

GgufWriter with_tokens(std::string_view model, const std::vector<Token>& tokens) {
  std::vector<std::string> texts;
  std::vector<std::int32_t> kinds;
  std::vector<float> scores;
  for (const Token& token : tokens) {
    texts.push_back(token.text);
    kinds.push_back(token.kind);
    scores.push_back(token.score);
  }
  GgufWriter writer;
  writer.add("tokenizer.ggml.model", model)
      .add("tokenizer.ggml.tokens", texts)
      .add("tokenizer.ggml.token_type", kinds);
  if (model == "llama") writer.add("tokenizer.ggml.scores", scores);
  return writer;
}

//                                       0                              1
const std::vector<Token> kByteLevel = {{"<|endoftext|>", kControl},
                                       {"<|im_end|>", kControl},
                                       // 2             3      4      5      6     7     8
                                       {"<tool>", kUserDefined},
                                       {"a"},
                                       {"b"},
                                       {"c"},
                                       {"Ġ"},
                                       {"ab"},
                                       {"Ġab"},
                                       // 9     10     11     12
                                       {"1"},
                                       {"12"},
                                       {"bc"},
                                       {"abc"}};

GgufWriter byte_level(std::string_view pre = "smollm") {
  return with_tokens("gpt2", kByteLevel)
      .add("tokenizer.ggml.pre", pre)
      .add("tokenizer.ggml.merges", std::vector<std::string>{"a b", "Ġ ab", "b c", "1 2", "x y"});
}

//                                           0                   1                  2
const std::vector<Token> kSentencePiece = {{"<unk>", kUnknown},
                                           {"<s>", kControl},
                                           {"</s>", kControl},
                                           // 3                 4                 5
                                           {"<0xC3>", kByte},
                                           {"<0xA4>", kByte},
                                           {"<0x21>", kByte},
                                           // 6        7                  8
                                           {"▁", 1, -9},
                                           {"a", 1, -10},
                                           {"b", 1, -11},
                                           // 9          10                11
                                           {"ab", 1, -2},
                                           {"▁a", 1, -1},
                                           {"ba", 1, -3},
                                           // 12         13              14
                                           {"<", 1, -20},
                                           {"s>", 1, -21},
                                           {"s", 1, -22},
                                           // 15
                                           {">", 1, -23}};

std::shared_ptr<const Tokenizer> tokenizer_of(const GgufWriter& writer) {
  const auto bytes = writer.bytes();
  const auto json = tokenizer_json_from_gguf(GgufFile::parse(bytes).value());
  EXPECT_TRUE(json.has_value()) << json.error().message;
  auto tokenizer = Tokenizer::from_json(*json);
  EXPECT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  return *tokenizer;
}

std::vector<TokenId> encode(const GgufWriter& writer, std::string_view text,
                            SpecialTokens special = SpecialTokens::kAsText) {
  return tokenizer_of(writer)->encode(text, special).value();
}

Error tokenizer_error(const GgufWriter& writer) {
  const auto bytes = writer.bytes();
  const auto json = tokenizer_json_from_gguf(GgufFile::parse(bytes).value());
  EXPECT_FALSE(json.has_value());
  return json ? Error{} : json.error();
}

Result<GgufTokens> tokens_of(const GgufWriter& writer) {
  const auto bytes = writer.bytes();
  return read_gguf_tokens(GgufFile::parse(bytes).value());
}

TEST(ByteLevelTokenizer, MergesInTheOrderOfTheFile) {
  EXPECT_THAT(encode(byte_level(), "abc ab"), ElementsAre(7, 5, 8));
  EXPECT_EQ(tokenizer_of(byte_level())->decode(std::vector<TokenId>{7, 5, 8}).value(), "abc ab");
}

TEST(ByteLevelTokenizer, CutsDigitsAsItsPreTokenizerSays) {
  EXPECT_THAT(encode(byte_level("gpt-2"), "11"), ElementsAre(9, 9));
  const auto both = with_tokens("gpt2", {{"1"}, {"11"}})
                        .add("tokenizer.ggml.merges", std::vector<std::string>{"1 1"});
  EXPECT_THAT(encode(GgufWriter(both).add("tokenizer.ggml.pre", "gpt-2"), "111"),
              ElementsAre(1, 0));
  EXPECT_THAT(encode(GgufWriter(both).add("tokenizer.ggml.pre", "smollm"), "111"),
              ElementsAre(0, 0, 0));
  EXPECT_THAT(encode(GgufWriter(both).add("tokenizer.ggml.pre", "qwen2"), "11"), ElementsAre(0, 0));
}

TEST(ByteLevelTokenizer, TakesAWholeWordFirstWhereMergesAreIgnored) {
  EXPECT_THAT(encode(byte_level("gpt-2"), "abc"), ElementsAre(7, 5));
  EXPECT_THAT(encode(byte_level("llama-bpe"), "abc"), ElementsAre(12));
}

TEST(ByteLevelTokenizer, DropsAByteThatIsNoTokenAndDoesNotMergeAcrossIt) {
  EXPECT_THAT(encode(byte_level(), "aZb"), ElementsAre(3, 4));
  EXPECT_THAT(encode(byte_level(),
                     "a\x06"
                     "b"),
              ElementsAre(3, 4));
}

TEST(ByteLevelTokenizer, ParsesControlTokensOnlyWhenAskedTo) {
  EXPECT_THAT(encode(byte_level(), "a<|im_end|>b", SpecialTokens::kParsed), ElementsAre(3, 1, 4));
  EXPECT_THAT(encode(byte_level(), "a<|im_end|>b"), testing::Not(testing::Contains(1)));
}

TEST(ByteLevelTokenizer, FindsUserDefinedTokensInAnyText) {
  EXPECT_THAT(encode(byte_level(), "a<tool>b"), ElementsAre(3, 2, 4));
  EXPECT_FALSE(tokenizer_of(byte_level())->is_special(2));
  EXPECT_TRUE(tokenizer_of(byte_level())->is_special(1));
}

TEST(ByteLevelTokenizer, NamesAnUnknownPreTokenizerAndThoseItHas) {
  const Error error = tokenizer_error(byte_level("klingon"));
  EXPECT_EQ(error.code, ErrorCode::kUnsupported);
  EXPECT_THAT(error.message,
              AllOf(HasSubstr("'klingon'"), HasSubstr("smollm"), HasSubstr("llama-bpe")));
}

TEST(ByteLevelTokenizer, EveryPreTokenizerMakesATokenizer) {
  for (const std::string_view name :
       {"", "default", "gpt-2", "smollm", "llama-bpe", "qwen2", "qwen35", "tekken",
        "deepseek-coder", "deepseek-v3", "falcon"}) {
    const auto tokens = encode(byte_level(name), "ab c");
    EXPECT_THAT(tokens, ElementsAre(7, 6, 5)) << name;
  }
}

TEST(SentencePieceTokenizer, MergesByScoreWithASpaceInFront) {
  const auto writer = with_tokens("llama", kSentencePiece);
  // "▁a" (-1) beats "ab" (-2), which beats "ba" (-3).
  EXPECT_THAT(encode(writer, "ab"), ElementsAre(10, 8));
  EXPECT_THAT(encode(writer, "bab"), ElementsAre(6, 8, 9));
  EXPECT_EQ(tokenizer_of(writer)->decode(std::vector<TokenId>{10, 8}).value(), "ab");
}

TEST(SentencePieceTokenizer, PutsASpaceInFrontOfEachPieceBetweenSpecialTokens) {
  const auto writer = with_tokens("llama", kSentencePiece);
  EXPECT_THAT(encode(writer, "a</s>a", SpecialTokens::kParsed), ElementsAre(10, 2, 10));
}

TEST(SentencePieceTokenizer, LeavesTheSpaceOutWhereTheFileSaysSo) {
  const auto writer =
      with_tokens("llama", kSentencePiece).add("tokenizer.ggml.add_space_prefix", false);
  EXPECT_THAT(encode(writer, "ab a"), ElementsAre(9, 10));
  EXPECT_EQ(tokenizer_of(writer)->decode(std::vector<TokenId>{9, 10}).value(), "ab a");
}

TEST(SentencePieceTokenizer, FallsBackToBytes) {
  const auto writer =
      with_tokens("llama", kSentencePiece).add("tokenizer.ggml.add_space_prefix", false);
  EXPECT_THAT(encode(writer, "a\xc3\xa4!"), ElementsAre(7, 3, 4, 5));
  EXPECT_EQ(tokenizer_of(writer)->decode(std::vector<TokenId>{3, 4}).value(), "\xc3\xa4");
}

TEST(SentencePieceTokenizer, NeverMergesTextIntoAControlToken) {
  const auto writer =
      with_tokens("llama", kSentencePiece).add("tokenizer.ggml.add_space_prefix", false);
  EXPECT_THAT(encode(writer, "<s>"), ElementsAre(12, 13));
  EXPECT_THAT(encode(writer, "<s>", SpecialTokens::kParsed), ElementsAre(1));
}

TEST(GgufTokens, ReadsEndsOfTurnFromIdsAndTexts) {
  const auto tokens = tokens_of(byte_level()
                                    .add("tokenizer.ggml.bos_token_id", std::uint32_t{2})
                                    .add("tokenizer.ggml.eos_token_id", std::uint32_t{1})
                                    .add("tokenizer.ggml.eot_token_id", std::uint32_t{5})
                                    .add("tokenizer.chat_template", "{{ messages }}"));
  ASSERT_TRUE(tokens.has_value()) << tokens.error().message;
  EXPECT_EQ(tokens->vocabulary_size, 13U);
  EXPECT_EQ(tokens->bos_token, 2);
  EXPECT_EQ(tokens->bos_text, "<tool>");
  EXPECT_EQ(tokens->eos_text, "<|im_end|>");
  EXPECT_FALSE(tokens->adds_bos);
  EXPECT_THAT(tokens->end_tokens, ElementsAre(1, 0, 5));
  EXPECT_EQ(tokens->chat_template, "{{ messages }}");
}

TEST(GgufTokens, HasNoneWhereTheFileNamesNone) {
  const auto tokens =
      tokens_of(with_tokens("gpt2", {{"a"}, {"</s>"}}).add("tokenizer.ggml.pre", "tekken"));
  ASSERT_TRUE(tokens.has_value()) << tokens.error().message;
  EXPECT_EQ(tokens->bos_token, std::nullopt);
  EXPECT_FALSE(tokens->adds_bos);
  EXPECT_THAT(tokens->end_tokens, IsEmpty());  // an ordinary "</s>" ends nothing
  EXPECT_THAT(tokens->chat_template, IsEmpty());
}

TEST(GgufTokens, KnowsSentencePiecesUsualNumbers) {
  const auto tokens = tokens_of(with_tokens("llama", kSentencePiece)
                                    .add("tokenizer.ggml.padding_token_id", std::uint32_t{9999}));
  ASSERT_TRUE(tokens.has_value()) << tokens.error().message;
  EXPECT_EQ(tokens->bos_text, "<s>");
  EXPECT_EQ(tokens->eos_text, "</s>");
  EXPECT_EQ(tokens->pad_token, std::nullopt);
  EXPECT_TRUE(tokens->adds_bos);
  EXPECT_THAT(tokens->end_tokens, ElementsAre(2));
}

TEST(GgufTokens, LeavesEndInsideATurnForModelsThatCallWithIt) {
  const auto tokens = tokens_of(with_tokens(
      "gpt2", {{"<|end|>", kControl}, {"<|return|>", kControl}, {"<|call|>", kControl}}));
  EXPECT_THAT(tokens->end_tokens, ElementsAre(1, 2));
}

TEST(GgufTokens, RefusesIdsOutsideTheVocabulary) {
  const auto tokens = tokens_of(byte_level().add("tokenizer.ggml.eos_token_id", std::uint32_t{13}));
  EXPECT_EQ(tokens.error().code, ErrorCode::kModelCorrupt);
  EXPECT_THAT(tokens.error().message,
              HasSubstr("'tokenizer.ggml.eos_token_id': expected a token below 13, found 13"));
}

TEST(GgufVocabulary, GivesEmptyTokensAName) {
  const auto tokenizer = tokenizer_of(with_tokens("gpt2", {{"a"}, {""}})
                                          .add("tokenizer.ggml.merges", std::vector<std::string>{})
                                          .add("tokenizer.ggml.pre", "gpt-2"));
  EXPECT_EQ(tokenizer->token_id("[EMPTY_1]").value(), 1);
}

TEST(GgufVocabulary, RefusesWhatDoesNotFitTogether) {
  const auto expect_corrupt = [](const GgufWriter& writer, std::string_view message) {
    const Error error = tokenizer_error(writer);
    EXPECT_EQ(error.code, ErrorCode::kModelCorrupt) << error.message;
    EXPECT_THAT(error.message, HasSubstr(std::string(message)));
  };
  expect_corrupt(GgufWriter().add("tokenizer.ggml.model", "gpt2"), "'tokenizer.ggml.tokens'");
  expect_corrupt(with_tokens("gpt2", {}), "expected 1 to");
  expect_corrupt(with_tokens("gpt2", {{"a"}, {"a"}}), "[1]: expected each text once");
  expect_corrupt(with_tokens("gpt2", {{"\xff"}}), "ill-formed");
  expect_corrupt(with_tokens("gpt2", {{std::string(2000, 'a')}}), "found 2000 bytes");
  expect_corrupt(with_tokens("gpt2", {{"a"}}), "'tokenizer.ggml.merges'");
  expect_corrupt(
      with_tokens("gpt2", {{"a"}}).add("tokenizer.ggml.merges", std::vector<std::string>{"aa"}),
      "merges[0]: expected two parts");
  expect_corrupt(GgufWriter()
                     .add("tokenizer.ggml.model", "llama")
                     .add("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b"})
                     .add("tokenizer.ggml.token_type", std::vector<std::int32_t>{1}),
                 "tokenizer.ggml.token_type: expected 2 entries, one per token, found 1");
  expect_corrupt(GgufWriter()
                     .add("tokenizer.ggml.model", "llama")
                     .add("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b"}),
                 "'tokenizer.ggml.scores'");
  expect_corrupt(with_tokens("llama", {{"a", 1, std::numeric_limits<float>::quiet_NaN()}}),
                 "found NaN");
}

TEST(GgufVocabulary, NamesATokenizerModelThatItDoesNotKnow) {
  const Error error = tokenizer_error(GgufWriter().add("tokenizer.ggml.model", "bert"));
  EXPECT_EQ(error.code, ErrorCode::kUnsupported);
  EXPECT_THAT(error.message, HasSubstr("'bert'"));
}

}  // namespace
}  // namespace onnxlocal
