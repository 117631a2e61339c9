#pragma once

#include <concepts>
#include <span>
#include <string>
#include <string_view>

namespace onnxlocal::ep {

/// One text of strings and integers, for messages: text("expected ", 4, " bytes").
template <class... Parts>
std::string text(const Parts&... parts) {
  std::string result;
  const auto add = [&result](const auto& part) {
    if constexpr (std::integral<std::remove_cvref_t<decltype(part)>>) {
      result += std::to_string(part);
    } else {
      result += std::string_view(part);
    }
  };
  (add(parts), ...);
  return result;
}

/// "[2, 16, -1]".
template <class Integer>
std::string dims_text(std::span<const Integer> dims) {
  std::string result = "[";
  for (const auto dim : dims) {
    if (result.size() > 1) result += ", ";
    result += std::to_string(dim);
  }
  return result + "]";
}

}  // namespace onnxlocal::ep
