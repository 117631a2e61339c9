#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "import/gguf_types.h"

namespace onnxlocal {

struct GgufTensor {
  std::string_view name;
  GgmlType type = GgmlType::kF32;
  /// Values per dimension, innermost first as in the file: a matrix of `rows` rows that lie one
  /// after the other is {columns, rows}. At most 4, none is 0; none at all is a scalar.
  std::vector<std::uint64_t> shape;
  /// The file's own bytes, exactly as many as shape and type ask for.
  std::span<const std::byte> data;

  std::uint64_t value_count() const;
};

/// A GGUF file (version 2 or 3, little endian): metadata and tensors, checked as a whole when it is
/// opened, so that what the methods return lies inside the file. Format: docs/formats/gguf.md.
/// Immutable: any thread may call any method. Views and spans live as long as the object (after
/// `parse`: as long as the caller's bytes).
class GgufFile {
 public:
  /// Maps the file. Errors: not_found; model_corrupt, which names the offset, the expected and the
  /// found; unsupported (version, byte order, tensor type).
  static Result<GgufFile> open(const std::filesystem::path& path);
  /// The same from memory. `bytes` must outlive the result.
  static Result<GgufFile> parse(std::span<const std::byte> bytes);

  bool has(std::string_view key) const { return entries_.contains(key); }

  /// The value of a metadata key. T is one of std::string_view, bool, std::uint32_t, float,
  /// std::vector<std::string_view>, std::vector<std::int32_t>, std::vector<float>. Integers of any
  /// width are taken where the value fits T. Errors: model_corrupt (no such key; another type).
  template <class T>
  Result<T> get(std::string_view key) const;
  /// The same, empty where the key is not there. Another type is still an error.
  template <class T>
  Result<std::optional<T>> find(std::string_view key) const;
  /// The same, `fallback` where the key is not there.
  template <class T>
  Result<T> get_or(std::string_view key, T fallback) const;

  /// In the file's order; names are unique.
  std::span<const GgufTensor> tensors() const { return tensors_; }
  /// Null where there is none by that name.
  const GgufTensor* find_tensor(std::string_view name) const;

  std::uint32_t version() const { return version_; }
  std::uint64_t size_bytes() const { return bytes_.size(); }

 private:
  friend class GgufParser;

  enum class ValueType : std::uint32_t {
    kU8,
    kI8,
    kU16,
    kI16,
    kU32,
    kI32,
    kF32,
    kBool,
    kString,
    kArray,
    kU64,
    kI64,
    kF64,
  };
  struct Entry {
    ValueType type = ValueType::kU8;  ///< An array's element type.
    bool is_array = false;
    std::uint64_t count = 1;
    /// The values as they lie in the file; each string with its length before it.
    std::span<const std::byte> bytes;
  };

  template <class T>
  Result<T> convert(std::string_view key, const Entry& entry) const;

  MappedFile mapping_;
  std::span<const std::byte> bytes_;
  std::uint32_t version_ = 0;
  std::map<std::string_view, Entry> entries_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string_view, std::size_t> tensor_index_;
};

template <class T>
Result<std::optional<T>> GgufFile::find(std::string_view key) const {
  const auto entry = entries_.find(key);
  if (entry == entries_.end()) return std::optional<T>();
  TRY(T value, convert<T>(key, entry->second));
  return std::optional<T>(std::move(value));
}

template <class T>
Result<T> GgufFile::get(std::string_view key) const {
  TRY(std::optional<T> value, find<T>(key));
  if (!value) {
    return std::unexpected(model_corrupt("GGUF metadata has no key '" + std::string(key) + "'",
                                         "convert the model again with a current converter"));
  }
  return *std::move(value);
}

template <class T>
Result<T> GgufFile::get_or(std::string_view key, T fallback) const {
  TRY(std::optional<T> value, find<T>(key));
  return value ? *std::move(value) : std::move(fallback);
}

}  // namespace onnxlocal
