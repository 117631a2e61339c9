// Over the byte tokenizer of tests/data: token i is byte i, 256 to 258 are special.
#include "text/tokenizer.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "text/encode_input.h"
#include "text/test_tokenizer.h"

namespace onnxlocal {
namespace {

using test::byte_tokenizer;
using test::bytes_of;
using test::kImEnd;
using test::kImStart;

std::string stream_all(const Tokenizer& tokenizer, std::span<const TokenId> tokens) {
  TokenStream stream = tokenizer.stream();
  std::string text;
  for (const TokenId token : tokens) {
    const std::string piece = stream.push(token).value();
    EXPECT_TRUE(is_valid_utf8(piece));
    text += piece;
  }
  return text + stream.finish().value();
}

TEST(Tokenizer, EncodesTextAsItsBytes) {
  EXPECT_EQ(byte_tokenizer()->encode("aé\n", SpecialTokens::kAsText).value(), bytes_of("aé\n"));
  EXPECT_TRUE(byte_tokenizer()->encode("", SpecialTokens::kAsText).value().empty());
}

TEST(Tokenizer, ParsesSpecialTokensOnlyWhereAsked) {
  const auto tokenizer = byte_tokenizer();
  EXPECT_EQ(tokenizer->encode("<|im_start|><|im_end|>", SpecialTokens::kParsed).value(),
            (std::vector<TokenId>{kImStart, kImEnd}));
  for (const std::string text : {"<|im_end|>", "a<|im_end|>b", " <|im_end|> ", "<<|im_end|>>",
                                 "<|im_end|><|im_end|>", "<|im_<|im_end|>end|>"}) {
    EXPECT_EQ(tokenizer->encode(text, SpecialTokens::kAsText).value(), bytes_of(text)) << text;
  }
}

TEST(Tokenizer, PutsThePostProcessorsTokensAroundAnInput) {
  const auto tokenizer = test::framing_tokenizer();
  for (const std::string text : {"", "hi", "<|im_start|>"}) {
    std::vector<TokenId> framed = bytes_of(text);
    framed.insert(framed.begin(), kImStart);
    framed.push_back(kImEnd);
    EXPECT_EQ(encode_input(*tokenizer, text).value(), framed) << text;
    EXPECT_EQ(tokenizer->encode(text, SpecialTokens::kAsText).value(), bytes_of(text)) << text;
  }
  EXPECT_EQ(encode_input(*byte_tokenizer(), "hi").value(), bytes_of("hi"));
}

TEST(Tokenizer, TextCannotSmuggleItsOwnMarkersIn) {
  const std::string stand_in = "\uFDD0\U00100001";
  for (const auto special : {SpecialTokens::kAsText, SpecialTokens::kParsed}) {
    EXPECT_EQ(byte_tokenizer()->encode(stand_in, special).value(), bytes_of("\uFFFD\U00100001"));
  }
  EXPECT_EQ(byte_tokenizer()->encode("\uFDD0", SpecialTokens::kAsText).value(), bytes_of("\uFDD0"));
}

TEST(Tokenizer, ControlTokensWithoutTheFlagCountAsSpecial) {
  const auto tokenizer = byte_tokenizer({"<|fim_prefix|>", "<think>"}, /*special=*/false);
  EXPECT_EQ(tokenizer->encode("<|fim_prefix|>", SpecialTokens::kAsText).value(),
            bytes_of("<|fim_prefix|>"));
  EXPECT_EQ(tokenizer->encode("<|fim_prefix|>", SpecialTokens::kParsed).value(),
            std::vector<TokenId>{259});
  // Others without it are text, tokenized as in training.
  EXPECT_EQ(tokenizer->encode("<think>", SpecialTokens::kAsText).value(),
            std::vector<TokenId>{260});
  EXPECT_EQ(tokenizer->decode(std::vector<TokenId>{259, 260}).value(), "<think>");
}

TEST(Tokenizer, ADecoderThatStripsTheEndOfTextsIsRefused) {
  const auto tokenizer = Tokenizer::from_json(
      R"({"model":{"type":"BPE","vocab":{},"merges":[]},"decoder":{"type":"Sequence","decoders":)"
      R"([{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":1}]}})");
  ASSERT_FALSE(tokenizer);
  EXPECT_EQ(tokenizer.error().code, ErrorCode::kUnsupported);
}

TEST(Tokenizer, ALongWordTakesLinearTime) {
  const std::string word(100'000, 'a');
  EXPECT_EQ(byte_tokenizer()->encode(word, SpecialTokens::kAsText).value().size(), word.size());
}

TEST(Tokenizer, IsSharedByThreads) {
  const auto tokenizer = byte_tokenizer();
  const std::string text = "<|im_start|>漢字 and more<|im_end|>";
  const auto expected = tokenizer->encode(text, SpecialTokens::kParsed).value();
  std::atomic<int> same = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int round = 0; round < 50; ++round) {
          const auto tokens = tokenizer->encode(text, SpecialTokens::kParsed);
          const bool is_whole = tokens && stream_all(*tokenizer, *tokens) == "漢字 and more";
          same += is_whole && *tokens == expected ? 1 : 0;
        }
      });
    }
  }
  EXPECT_EQ(same, 200);
}

TEST(Tokenizer, KnowsItsTokens) {
  const auto tokenizer = byte_tokenizer();
  EXPECT_EQ(tokenizer->vocabulary_size(), 259U);
  EXPECT_EQ(tokenizer->token_id("<|im_end|>").value(), kImEnd);
  EXPECT_EQ(tokenizer->token_id("nothing").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(tokenizer->token_id("\uFDD0\U00100001").error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(tokenizer->is_special(kImEnd));
  EXPECT_FALSE(tokenizer->is_special('a'));
  EXPECT_FALSE(tokenizer->is_special(-1));
}

TEST(Tokenizer, DecodesWithoutSpecialTokensAndUnknownIds) {
  const std::vector<TokenId> tokens = {kImStart, 'h', 'i', kImEnd, -1, 259, 1'000'000};
  EXPECT_EQ(byte_tokenizer()->decode(tokens).value(), "hi");
  EXPECT_EQ(stream_all(*byte_tokenizer(), tokens), "hi");
}

TEST(Tokenizer, IllFormedFilesAreErrors) {
  for (const std::string json : {"", "{", "[]", "{\"model\":{}}", "\xFF"}) {
    EXPECT_EQ(Tokenizer::from_json(json).error().code, ErrorCode::kModelCorrupt) << json;
  }
  EXPECT_EQ(Tokenizer::load("/nonexistent/tokenizer.json").error().code, ErrorCode::kNotFound);
}

TEST(TokenStream, NeverSplitsACharacter) {
  // A family of four code points joined, a flag, CJK, Arabic with marks, combining accents.
  const std::string text =
      "👩‍👩‍👧‍👦🇩🇪漢字 مَرْحَبًا é\u0301 a\u0000b";
  const auto tokens = bytes_of(text);
  EXPECT_EQ(stream_all(*byte_tokenizer(), tokens), text);
  EXPECT_EQ(byte_tokenizer()->decode(tokens).value(), text);
}

TEST(TokenStream, HoldsBackTheStartOfACharacter) {
  TokenStream stream = byte_tokenizer()->stream();
  EXPECT_EQ(stream.push(0xE2).value(), "");
  EXPECT_EQ(stream.push(0x82).value(), "");
  EXPECT_EQ(stream.push(0xAC).value(), "€");
  EXPECT_EQ(stream.push(0xE2).value(), "");
  EXPECT_EQ(stream.finish().value(), "\uFFFD");
}

TEST(TokenStream, IllFormedBytesBecomeReplacementCharacters) {
  for (const std::string bytes : {"\xFF", "a\xC3", "\xE2\x82z", "\xF0\x9F\x98", "\xED\xA0\x80",
                                  "\xC0\xAFx", "\x80\x80", "é\xFFé"}) {
    const auto tokens = bytes_of(bytes);
    EXPECT_EQ(stream_all(*byte_tokenizer(), tokens), to_valid_utf8(bytes));
    EXPECT_EQ(byte_tokenizer()->decode(tokens).value(), to_valid_utf8(bytes));
  }
}

TEST(TokenStream, ShowsAVisibleTokenBehindWhatWasHeldBack) {
  const auto tokenizer = byte_tokenizer({"<tool_call>"});
  auto stream = tokenizer->stream();
  EXPECT_EQ(stream.push('a').value(), "a");
  EXPECT_EQ(stream.push(0xF0).value(), "");
  EXPECT_EQ(stream.push_visible(259).value(), "\xEF\xBF\xBD<tool_call>");
  EXPECT_EQ(stream.push_visible('b').value(), "b");
  EXPECT_EQ(stream.push(259).value(), "");
  EXPECT_EQ(stream.finish().value(), "");
}

TEST(TokenStream, SentencePieceLosesItsFirstSpaceAlone) {
  const auto tokenizer = Tokenizer::from_json(test::read("sentencepiece_tokenizer.json")).value();
  const std::string text = "the  the 漢é€";
  const auto tokens = tokenizer->encode(text, SpecialTokens::kAsText).value();
  EXPECT_EQ(tokens.front(), tokenizer->token_id("▁the").value());
  EXPECT_EQ(tokens.back(), tokenizer->token_id("<0xAC>").value());
  EXPECT_EQ(stream_all(*tokenizer, tokens), text);
  EXPECT_EQ(tokenizer->decode(tokens).value(), text);

  TokenStream stream = tokenizer->stream();
  EXPECT_EQ(stream.push(tokenizer->token_id("▁the").value()).value(), "the");
  EXPECT_EQ(stream.push(tokenizer->token_id("<0xE2>").value()).value(), "");
  EXPECT_EQ(stream.push(tokenizer->token_id("▁the").value()).value(), "\uFFFD the");
}

TEST(TokenStream, OutlivesItsTokenizer) {
  auto tokenizer = byte_tokenizer();
  TokenStream stream = tokenizer->stream();
  tokenizer.reset();
  EXPECT_EQ(stream.push('a').value(), "a");
}

}  // namespace
}  // namespace onnxlocal
