#include "text/pdf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/file_system.h"

namespace onnxlocal {
namespace {

using testing::HasSubstr;

std::string read(const char* name) {
  return read_text_file(std::filesystem::path(ONNXLOCAL_TEST_DATA) / "documents" / name, 1 << 20)
      .value();
}

TEST(PdfText, HasTheLinesOfAPage) {
  const auto text = pdf_text(read("hello.pdf"));
  ASSERT_TRUE(text.has_value()) << text.error().message;
  EXPECT_THAT(*text, HasSubstr("Hello from a PDF"));
  EXPECT_THAT(*text, HasSubstr("Second line"));
}

TEST(PdfText, IsMissedWhereAFileHasNone) {
  const auto text = pdf_text(read("empty.pdf"));
  ASSERT_FALSE(text.has_value());
  EXPECT_EQ(text.error().code, ErrorCode::kInvalidRequest);
  EXPECT_THAT(text.error().message, HasSubstr("holds no text"));
}

TEST(PdfText, KeepsItsLimits) {
  const std::string pdf = read("hello.pdf");
  for (const PdfLimits& limits :
       {PdfLimits{.bytes_max = 100}, PdfLimits{.pages_max = 0}, PdfLimits{.text_bytes_max = 3}}) {
    const auto text = pdf_text(pdf, limits);
    ASSERT_FALSE(text.has_value());
    EXPECT_EQ(text.error().code, ErrorCode::kTooLarge);
  }
}

TEST(PdfText, IsNotMadeOfWhatIsNoPdf) {
  EXPECT_EQ(pdf_text("hello").error().code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(pdf_text("").error().code, ErrorCode::kInvalidRequest);
}

}  // namespace
}  // namespace onnxlocal
