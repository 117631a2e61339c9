// Any bytes as a PDF file: text within its limits, or an error. Pages are few, since the libraries
// promise no time: the server runs them in a child with limits of its own.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/utf8.h"
#include "text/pdf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxlocal;
  constexpr PdfLimits kLimits{.bytes_max = 1 << 16, .pages_max = 4, .text_bytes_max = 1 << 16};
  const auto text = pdf_text(std::string_view(reinterpret_cast<const char*>(data), size), kLimits);
  if (!text) {
    CHECK(!text.error().message.empty());
    return 0;
  }
  CHECK(!text->empty() && text->size() <= 3 * kLimits.text_bytes_max);
  CHECK(is_valid_utf8(*text));
  return 0;
}
