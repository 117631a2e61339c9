#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_to.hpp>

#include "base/result.h"

/// The one door to Boost.JSON: everybody else includes this header.
namespace onnxlocal::json {

using boost::json::array;
using boost::json::object;
using boost::json::serialize;
using boost::json::value;

struct ParseLimits {
  std::size_t depth_max = 64;
  std::size_t bytes_max = std::size_t{32} << 20;
};

/// Strict JSON text to a value. Errors: invalid_request with the byte offset and what was wrong;
/// too_large over `bytes_max`. A number beyond what a double holds (1e999) is an error too. Never
/// throws.
Result<value> parse(std::string_view text, const ParseLimits& limits = {});

}  // namespace onnxlocal::json
