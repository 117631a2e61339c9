#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/openai/embedding_reply.h"
#include "api/openai/embedding_request.h"
#include "api/openai/test_requests.h"
#include "base/base64.h"

namespace onnxlocal::openai {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

EmbeddingBody parse(const std::string& fields) {
  return accepted(parse_embedding_request(R"({"model":"m",)" + fields + "}"));
}
std::string refused(const std::string& fields) {
  return complaint(parse_embedding_request(R"({"model":"m",)" + fields + "}"));
}

std::string encode(EncodingFormat format, std::vector<std::vector<float>> vectors) {
  return embedding_body({.vectors = std::move(vectors), .tokens = 7}, "a \"name\"", format);
}

TEST(EmbeddingRequest, TakesInputsInEachForm) {
  const RawPrompt text = std::string("hi");
  const RawPrompt tokens = std::vector<TokenId>{1, 2};
  EXPECT_THAT(parse(R"("input":"hi")").embedding.inputs, ElementsAre(text));
  EXPECT_THAT(parse(R"("input":["hi","hi"])").embedding.inputs, ElementsAre(text, text));
  EXPECT_THAT(parse(R"("input":[1,2])").embedding.inputs, ElementsAre(tokens));
  EXPECT_THAT(parse(R"("input":[[1,2],[1,2]])").embedding.inputs, ElementsAre(tokens, tokens));
}

TEST(EmbeddingRequest, RefusesOtherInputs) {
  for (const char* input : {R"("")", "[]", "7", "[-1]", "[1.5]", R"([1,"a"])", "[3000000000]"}) {
    EXPECT_THAT(refused(std::string("\"input\":") + input), StartsWith("input: ")) << input;
  }
  EXPECT_THAT(refused(R"("input":["a",""])"), StartsWith("input.1: "));
  EXPECT_THAT(refused(R"("input":[[1],[]])"), StartsWith("input.1: "));
  EXPECT_THAT(refused(R"("user":"u")"), StartsWith("input: Field required"));
}

TEST(EmbeddingRequest, HasAtMost2048Inputs) {
  std::string list = "\"x\"";
  for (int i = 1; i < 2048; ++i) list += ",\"x\"";
  EXPECT_EQ(parse("\"input\":[" + list + "]").embedding.inputs.size(), 2048U);
  EXPECT_THAT(refused("\"input\":[" + list + ",\"x\"]"), HasSubstr("at most 2048"));
}

TEST(EmbeddingRequest, ReadsFormatAndDimensions) {
  const EmbeddingBody plain = parse(R"("input":"x")");
  EXPECT_EQ(plain.format, EncodingFormat::kFloat);
  EXPECT_EQ(plain.embedding.dimensions, std::nullopt);
  const EmbeddingBody chosen = parse(R"("input":"x","encoding_format":"base64","dimensions":64)");
  EXPECT_EQ(chosen.format, EncodingFormat::kBase64);
  EXPECT_EQ(chosen.embedding.dimensions, 64U);
  EXPECT_THAT(refused(R"("input":"x","dimensions":0)"), StartsWith("dimensions: "));
  EXPECT_THAT(refused(R"("input":"x","encoding_format":"int8")"), StartsWith("encoding_format: "));
}

TEST(EmbeddingReply, HasTheVectorsInOrder) {
  const json::value body =
      json::parse(encode(EncodingFormat::kFloat, {{0.1F, -2}, {1e-7F, 3}})).value();
  EXPECT_EQ(body.at("object"), "list");
  EXPECT_EQ(body.at("model"), "a \"name\"");
  EXPECT_EQ(body.at("usage").at("total_tokens"), 7);
  const json::value& second = body.at("data").at(1);
  EXPECT_EQ(second.at("object"), "embedding");
  EXPECT_EQ(second.at("index"), 1);
  EXPECT_EQ(second.at("embedding").at(0).to_number<float>(), 1e-7F);
  EXPECT_EQ(body.at("data").at(0).at("embedding").at(0).to_number<float>(), 0.1F);
}

TEST(EmbeddingReply, IsTheFloatsBytesInBase64) {
  const json::value body = json::parse(encode(EncodingFormat::kBase64, {{1.0F, -0.5F}})).value();
  const auto bytes = from_base64(std::string(body.at("data").at(0).at("embedding").get_string()));
  using namespace std::string_view_literals;
  EXPECT_EQ(bytes, "\x00\x00\x80\x3F\x00\x00\x00\xBF"sv);
}

}  // namespace
}  // namespace onnxlocal::openai
