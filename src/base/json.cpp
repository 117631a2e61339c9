#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/stream_parser.hpp>
#include <cmath>
#include <exception>
#include <new>

namespace onnxlocal::json {

namespace {

Error syntax_error(std::size_t offset, const boost::system::error_code& code) {
  return invalid_request(
      fmt::format("the text is not valid JSON: {} at byte {}", code.message(), offset));
}

/// Boost.JSON reads 1e999 as infinity, and writes that as no JSON at all.
bool has_infinite_number(const value& node) {
  if (const double* number = node.if_double()) return !std::isfinite(*number);
  if (const array* items = node.if_array()) return std::ranges::any_of(*items, has_infinite_number);
  if (const object* members = node.if_object()) {
    return std::ranges::any_of(*members,
                               [](const auto& m) { return has_infinite_number(m.value()); });
  }
  return false;
}

Result<value> parse_or_throw(std::string_view text, const ParseLimits& limits) {
  boost::json::parse_options options;
  options.max_depth = limits.depth_max;
  boost::json::stream_parser parser({}, options);
  boost::system::error_code code;
  const std::size_t consumed = parser.write_some(text.data(), text.size(), code);
  if (!code && consumed < text.size()) code = boost::json::error::extra_data;
  if (code) return std::unexpected(syntax_error(consumed, code));
  parser.finish(code);
  if (code) return std::unexpected(syntax_error(text.size(), code));
  value parsed = parser.release();
  if (has_infinite_number(parsed)) {
    return std::unexpected(invalid_request("the text has a number that no double can hold"));
  }
  return parsed;
}

}  // namespace

Result<value> parse(std::string_view text, const ParseLimits& limits) {
  if (text.size() > limits.bytes_max) {
    return std::unexpected(too_large(fmt::format("the JSON text has {} bytes, at most {} are read",
                                                 text.size(), limits.bytes_max)));
  }
  try {
    return parse_or_throw(text, limits);
  } catch (const std::bad_alloc&) {
    return std::unexpected(too_large("not enough memory for the JSON text"));
  } catch (const std::exception& exception) {
    return std::unexpected(internal_error(fmt::format("JSON parser: {}", exception.what())));
  }
}

}  // namespace onnxlocal::json
