#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace onnxlocal {

/// What one PDF file may cost; Anthropic's own limits for its size and its pages.
struct PdfLimits {
  std::size_t bytes_max = std::size_t{32} << 20;
  std::size_t pages_max = 600;
  std::size_t text_bytes_max = std::size_t{4} << 20;
};

/// The text of a PDF file, its pages apart by a blank line. A hostile file may take long, take much
/// memory or overflow the stack: call it in a process of its own.
/// Errors: invalid_request (no PDF file, protected, no text in it), too_large, internal.
Result<std::string> pdf_text(std::string_view pdf, const PdfLimits& limits = {});

}  // namespace onnxlocal
