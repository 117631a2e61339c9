#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace onnxlocal {

/// Types a GGUF tensor may have, by ggml's own numbers. Source: ggml.h, `enum ggml_type`.
enum class GgmlType : std::uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ8_1 = 9,
  kQ2K = 10,
  kQ3K = 11,
  kQ4K = 12,
  kQ5K = 13,
  kQ6K = 14,
  kQ8K = 15,
  kIq2Xxs = 16,
  kIq2Xs = 17,
  kIq3Xxs = 18,
  kIq1S = 19,
  kIq4Nl = 20,
  kIq3S = 21,
  kIq2S = 22,
  kIq4Xs = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIq1M = 29,
  kBf16 = 30,
  kTq1_0 = 34,
  kTq2_0 = 35,
  kMxfp4 = 39,
  kNvfp4 = 40,
  kQ1_0 = 41,
  kQ2_0 = 42,
};

/// How a type lies in memory: rows are cut into blocks of `block_values` values, each in
/// `block_bytes` bytes.
struct GgmlTypeInfo {
  GgmlType type;
  std::string_view name;  ///< As llama.cpp prints it: "Q4_1".
  std::uint32_t block_values;
  std::uint32_t block_bytes;
};

/// Empty where the number is no type we know.
std::optional<GgmlTypeInfo> find_ggml_type(std::uint32_t number);

/// REQUIRES: `type` is one of the enumerators.
GgmlTypeInfo info(GgmlType type);
inline std::string_view to_string(GgmlType type) { return info(type).name; }

}  // namespace onnxlocal
