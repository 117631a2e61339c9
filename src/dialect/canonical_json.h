#pragma once

#include <string>
#include <string_view>

namespace onnxlocal {

/// One text for all texts of the same JSON value: keys sorted, no white space, numbers by value.
/// For comparing what a client sent back with what it was sent. What is no JSON stays as it is.
std::string canonical_json(std::string_view text);

}  // namespace onnxlocal
