#include "api/anthropic/documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "api/anthropic/test_requests.h"
#include "base/base64.h"

namespace onnxlocal::anthropic {
namespace {

using testing::HasSubstr;

std::string user_content(const std::string& block) {
  return R"([{"role":"user","content":[)" + block + "]}]";
}

std::string text_of(const std::string& block, const DecodeOptions& options = {}) {
  const auto parsed = messages(user_content(block), {}, options);
  return parsed.empty() ? "" : std::get<TextBlock>(parsed[0].content.at(0)).text;
}

std::string refusal(const std::string& block, const DecodeOptions& options = {}) {
  return complaint(R"({"model":"m","max_tokens":4,"messages":)" + user_content(block) + "}",
                   options);
}

std::string base64_document(const std::string& media_type, const std::string& bytes) {
  return R"({"type":"document","source":{"type":"base64","media_type":")" + media_type +
         R"(","data":")" + to_base64(bytes) + "\"}}";
}

TEST(Documents, AreInlinedWithTitleAndContext) {
  EXPECT_EQ(text_of(R"({"type":"document","title":"Note","context":"Mine",
              "source":{"type":"text","media_type":"text/plain","data":"The sky is green."},
              "citations":{"enabled":true},"cache_control":{"type":"ephemeral"}},
              {"type":"text","text":"What colour?"})"),
            "<document>\n<title>Note</title>\n<context>Mine</context>\n<content>\n"
            "The sky is green.\n</content>\n</document>\n\nWhat colour?");
}

TEST(Documents, MayBeBlocksOfText) {
  EXPECT_EQ(text_of(R"({"type":"document","source":{"type":"content","content":[
              {"type":"text","text":"a"},{"type":"text","text":"b"}]}})"),
            "<document>\n<content>\na\n\nb\n</content>\n</document>");
  EXPECT_THAT(text_of(R"({"type":"document","source":{"type":"content","content":"c"}})"),
              HasSubstr("\nc\n"));
}

TEST(Documents, MayBeTextInBase64) {
  for (const char* type : {"text/markdown", "application/json", "text/csv;charset=utf-8"}) {
    EXPECT_THAT(text_of(base64_document(type, "{\"é\":1}")), HasSubstr("\n{\"é\":1}\n")) << type;
  }
}

TEST(Documents, OfPdfAreReadByTheirReader) {
  const DecodeOptions options{.betas = {}, .read_pdf = [](std::string_view pdf) {
                                return Result<std::string>("text of " + std::string(pdf));
                              }};
  EXPECT_THAT(text_of(base64_document("application/pdf", "%PDF"), options),
              HasSubstr("\ntext of %PDF\n"));
  EXPECT_THAT(refusal(base64_document("application/pdf", "%PDF")), HasSubstr("PDF files cannot"));
}

TEST(Documents, PassTheReadersComplaintOn) {
  const DecodeOptions options{
      .betas = {}, .read_pdf = [](std::string_view) {
        return Result<std::string>(std::unexpected(invalid_request("it holds no text")));
      }};
  EXPECT_THAT(refusal(base64_document("application/pdf", "%PDF"), options),
              HasSubstr("messages.0.content.0.source.data: it holds no text"));
}

TEST(SearchResults, AreInlinedWithSourceAndTitle) {
  EXPECT_EQ(text_of(R"({"type":"search_result","source":"https://x","title":"T",
              "content":[{"type":"text","text":"found"}],"citations":{"enabled":true}})"),
            "<search_result>\n<source>https://x</source>\n<title>T</title>\n<content>\nfound\n"
            "</content>\n</search_result>");
}

class RefusedDocument : public testing::TestWithParam<BadRequest> {};

TEST_P(RefusedDocument, IsNamed) {
  EXPECT_THAT(refusal(GetParam().fields), HasSubstr(GetParam().complaint));
}

INSTANTIATE_TEST_SUITE_P(
    EachKind, RefusedDocument,
    testing::Values(
        BadRequest{R"({"type":"document"})", "messages.0.content.0.source: Field required"},
        BadRequest{R"({"type":"document","source":{"type":"url","url":"https://x"}})",
                   "messages.0.content.0.source: `url` sources are not supported"},
        BadRequest{R"({"type":"document","source":{"type":"file","file_id":"f"}})",
                   "`file` sources are not supported"},
        BadRequest{R"({"type":"document","source":{"type":"tape"}})", "Input tag 'tape'"},
        BadRequest{R"({"type":"document","source":{"type":"base64","media_type":"text/plain",
                       "data":"?"}})",
                   "source.data: Input should be valid base64"},
        BadRequest{base64_document("text/plain", "\xff\xfe"), "source.data: the text should be"},
        BadRequest{base64_document("application/zip", "PK"), "'application/zip' cannot be read"},
        BadRequest{base64_document("image/png", "x"), "this model cannot see images"},
        BadRequest{R"({"type":"document","source":{"type":"content","content":[
                       {"type":"image","source":{}}]}})",
                   "source.content.0: `image` blocks"},
        BadRequest{R"({"type":"search_result","source":"s","content":[]})",
                   "messages.0.content.0.title: Field required"},
        BadRequest{R"({"type":"image","source":{"type":"base64"}})",
                   "messages.0.content.0: `image` blocks are not supported: this model cannot"}));

}  // namespace
}  // namespace onnxlocal::anthropic
