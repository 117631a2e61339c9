#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "api/fields.h"

namespace onnxlocal::anthropic {

/// The text of a PDF file, or why there is none. It may take a while; it must not throw.
using PdfReader = std::function<Result<std::string>(std::string_view pdf)>;

/// A `document` block as text, with its title and context. `read_pdf` may be empty: then PDF files
/// are refused. Errors: invalid_request, naming the path (sources elsewhere, images, no text).
Result<std::string> parse_document(const Fields& block, const PdfReader& read_pdf);

/// A `search_result` block as text, with its source and title.
Result<std::string> parse_search_result(const Fields& block);

/// What a block that shows a picture is answered with.
Error image_error(std::string_view path);

}  // namespace onnxlocal::anthropic
