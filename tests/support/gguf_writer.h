#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "import/gguf_types.h"

namespace onnxlocal::test {

/// Floats to block bytes of F32, F16, BF16, Q8_0, Q4_0 or Q4_1, as ggml's `quantize_row_*_ref`
/// does. REQUIRES: whole blocks.
std::vector<std::byte> quantize(GgmlType type, std::span<const float> values);

/// Makes small GGUF files (version 3, little endian) for tests; it also makes wrong ones, since it
/// checks nothing. Keys and tensors appear in the order of the calls.
class GgufWriter {
 public:
  GgufWriter& add(std::string_view key, std::uint32_t value);
  GgufWriter& add(std::string_view key, std::int32_t value);
  GgufWriter& add(std::string_view key, std::uint64_t value);
  GgufWriter& add(std::string_view key, float value);
  GgufWriter& add(std::string_view key, bool value);
  GgufWriter& add(std::string_view key, std::string_view value);
  GgufWriter& add(std::string_view key, const char* value) {
    return add(key, std::string_view(value));
  }
  GgufWriter& add(std::string_view key, const std::vector<std::string>& values);
  GgufWriter& add(std::string_view key, const std::vector<std::int32_t>& values);
  GgufWriter& add(std::string_view key, const std::vector<float>& values);

  /// `shape` innermost first, as in the file: a matrix is {columns, rows}.
  GgufWriter& add_tensor(std::string_view name, std::vector<std::uint64_t> shape, GgmlType type,
                         std::span<const float> values);
  GgufWriter& add_tensor_bytes(std::string_view name, std::vector<std::uint64_t> shape,
                               std::uint32_t type, std::vector<std::byte> bytes);

  /// What the header says from here on; nothing checks that it is true. Default 3.
  GgufWriter& set_version(std::uint32_t version);
  /// Also writes `general.alignment`. Default 32.
  GgufWriter& set_alignment(std::uint32_t alignment);

  std::vector<std::byte> bytes() const;
  Result<void> write(const std::filesystem::path& path) const;

 private:
  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> shape;
    std::uint32_t type;
    std::vector<std::byte> data;
  };

  void start_value(std::string_view key, std::uint32_t type);
  void start_array(std::string_view key, std::uint32_t element_type, std::uint64_t count);

  std::uint32_t version_ = 3;
  std::uint32_t alignment_ = 32;
  std::uint64_t key_count_ = 0;
  std::vector<std::byte> metadata_;
  std::vector<Tensor> tensors_;
};

}  // namespace onnxlocal::test
