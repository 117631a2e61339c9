// GgufFile's metadata values as C++ types.

#include <fmt/format.h>

#include <cstring>
#include <type_traits>
#include <utility>

#include "import/gguf_cursor.h"
#include "import/gguf_reader.h"

namespace onnxlocal {

namespace {

template <class T>
T load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

template <class T>
constexpr std::string_view kExpected = "";
template <>
constexpr std::string_view kExpected<std::string_view> = "a string";
template <>
constexpr std::string_view kExpected<bool> = "a bool";
template <>
constexpr std::string_view kExpected<std::uint32_t> = "an integer that fits uint32";
template <>
constexpr std::string_view kExpected<float> = "a float";
template <>
constexpr std::string_view kExpected<std::vector<std::string_view>> = "an array of strings";
template <>
constexpr std::string_view kExpected<std::vector<std::int32_t>> =
    "an array of integers that fit int32";
template <>
constexpr std::string_view kExpected<std::vector<float>> = "an array of floats";

std::string_view type_name(std::size_t type) {
  constexpr std::string_view kNames[] = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                         "int32",  "float32", "bool",   "string", "array",
                                         "uint64", "int64",   "float64"};
  return kNames[type];
}

template <class T>
struct ElementOf {
  using type = T;
};
template <class T>
struct ElementOf<std::vector<T>> {
  using type = T;
};

template <class To, class From>
std::optional<To> narrow(const std::byte* bytes) {
  const From value = load<From>(bytes);
  if (!std::in_range<To>(value)) return std::nullopt;
  return static_cast<To>(value);
}

}  // namespace

/// One value of the entry's type at `bytes` as a T; empty where the type or the value does not fit.
template <class T, class ValueType>
static std::optional<T> value_at(ValueType type, const std::byte* bytes) {
  if constexpr (std::is_same_v<T, bool>) {
    if (type == ValueType::kBool) return load<std::uint8_t>(bytes) != 0;
  } else if constexpr (std::is_same_v<T, float>) {
    if (type == ValueType::kF32) return load<float>(bytes);
    if (type == ValueType::kF64) return static_cast<float>(load<double>(bytes));
    // Some converters write scores as integers.
    if (type == ValueType::kI32) return static_cast<float>(load<std::int32_t>(bytes));
  } else {
    switch (type) {
      case ValueType::kU8: return narrow<T, std::uint8_t>(bytes);
      case ValueType::kI8: return narrow<T, std::int8_t>(bytes);
      case ValueType::kU16: return narrow<T, std::uint16_t>(bytes);
      case ValueType::kI16: return narrow<T, std::int16_t>(bytes);
      case ValueType::kU32: return narrow<T, std::uint32_t>(bytes);
      case ValueType::kI32: return narrow<T, std::int32_t>(bytes);
      case ValueType::kU64: return narrow<T, std::uint64_t>(bytes);
      case ValueType::kI64: return narrow<T, std::int64_t>(bytes);
      default: break;
    }
  }
  return std::nullopt;
}

template <class T>
Result<T> GgufFile::convert(std::string_view key, const Entry& entry) const {
  using Element = ElementOf<T>::type;
  constexpr bool kWantsArray = !std::is_same_v<T, Element>;
  const auto wrong = [&] {
    return std::unexpected(
        model_corrupt(fmt::format("GGUF metadata '{}' at byte {}: expected {}, found {}{}"
                                  " (or a value out of range)",
                                  key, entry.bytes.data() - bytes_.data(), kExpected<T>,
                                  entry.is_array ? "an array of " : "",
                                  type_name(std::to_underlying(entry.type))),
                      "convert the model again with a current converter"));
  };
  if (entry.is_array != kWantsArray) return wrong();

  std::vector<Element> values;
  if constexpr (std::is_same_v<Element, std::string_view>) {
    if (entry.type != ValueType::kString) return wrong();
    values.reserve(entry.count);
    GgufCursor cursor(entry.bytes);
    for (std::uint64_t i = 0; i < entry.count; ++i) {
      TRY(const auto text, cursor.read_string(entry.bytes.size(), key));
      values.push_back(text);
    }
  } else {
    if (entry.type == ValueType::kString) return wrong();
    values.reserve(entry.count);
    const std::size_t stride = entry.count == 0 ? 0 : entry.bytes.size() / entry.count;
    for (std::uint64_t i = 0; i < entry.count; ++i) {
      const auto value = value_at<Element>(entry.type, entry.bytes.data() + i * stride);
      if (!value) return wrong();
      values.push_back(*value);
    }
  }
  if constexpr (kWantsArray) {
    return values;
  } else {
    return values.front();
  }
}

template Result<std::string_view> GgufFile::convert(std::string_view, const Entry&) const;
template Result<bool> GgufFile::convert(std::string_view, const Entry&) const;
template Result<std::uint32_t> GgufFile::convert(std::string_view, const Entry&) const;
template Result<float> GgufFile::convert(std::string_view, const Entry&) const;
template Result<std::vector<std::string_view>> GgufFile::convert(std::string_view,
                                                                 const Entry&) const;
template Result<std::vector<std::int32_t>> GgufFile::convert(std::string_view, const Entry&) const;
template Result<std::vector<float>> GgufFile::convert(std::string_view, const Entry&) const;

}  // namespace onnxlocal
