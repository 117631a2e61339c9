#pragma once

#include <string_view>

#include <onnxruntime_cxx_api.h>

#include "base/error.h"

namespace onnxlocal {

/// What ONNX Runtime threw, as a value: `where: message`, with a hint where we know one. Its
/// exceptions end in the function that calls it.
Error to_error(std::string_view where, const Ort::Exception& exception);

/// The first line of ONNX Runtime's text, without stack traces and source lines, bounded in length.
std::string_view first_line(std::string_view text);

}  // namespace onnxlocal
