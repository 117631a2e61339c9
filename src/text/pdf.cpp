#include "text/pdf.h"

#include <fmt/format.h>

#include "text/native.h"

namespace onnxlocal {

Result<std::string> pdf_text(std::string_view pdf, const PdfLimits& limits) {
  if (pdf.size() > limits.bytes_max) {
    return std::unexpected(too_large(fmt::format("the PDF file has {} bytes, at most {} are read",
                                                 pdf.size(), limits.bytes_max)));
  }
  onnxlocal_text text{};
  char* error = nullptr;
  const std::int32_t status = onnxlocal_pdf_text(native::slice(pdf), limits.pages_max,
                                                 limits.text_bytes_max, &text, &error);
  if (status != ONNXLOCAL_TEXT_OK) return std::unexpected(native::take_error(status, error));
  std::string copy(text.data, text.size);
  onnxlocal_text_free(text);
  return copy;
}

}  // namespace onnxlocal
