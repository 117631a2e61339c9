#include "gguf_writer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/file_system.h"
#include "import/half.h"

namespace onnxlocal::test {

namespace {

// GGUF's numbers of value types.
constexpr std::uint32_t kU32 = 4;
constexpr std::uint32_t kI32 = 5;
constexpr std::uint32_t kF32 = 6;
constexpr std::uint32_t kBool = 7;
constexpr std::uint32_t kString = 8;
constexpr std::uint32_t kArray = 9;
constexpr std::uint32_t kU64 = 10;

constexpr std::size_t kBlock = 32;

template <class T>
void append(std::vector<std::byte>& out, T value) {
  for (const std::byte byte : std::bit_cast<std::array<std::byte, sizeof(T)>>(value)) {
    out.push_back(byte);
  }
}

void append_string(std::vector<std::byte>& out, std::string_view text) {
  append<std::uint64_t>(out, text.size());
  for (const char c : text) out.push_back(static_cast<std::byte>(c));
}

void append_nibbles(std::vector<std::byte>& out, std::span<const int> quants) {
  for (std::size_t j = 0; j < kBlock / 2; ++j) {
    out.push_back(static_cast<std::byte>(quants[j] | quants[j + kBlock / 2] << 4));
  }
}

void append_q8_0(std::vector<std::byte>& out, std::span<const float> block) {
  float largest = 0.0F;
  for (const float v : block) largest = std::max(largest, std::fabs(v));
  const float scale = largest / 127;
  const float inverse = scale != 0 ? 1.0F / scale : 0.0F;
  append(out, float_to_half(scale));
  for (const float v : block) append(out, static_cast<std::int8_t>(std::round(v * inverse)));
}

void append_q4_0(std::vector<std::byte>& out, std::span<const float> block) {
  float extreme = 0.0F;  // the value furthest from zero, with its sign
  for (const float v : block) {
    if (std::fabs(extreme) < std::fabs(v)) extreme = v;
  }
  const float scale = extreme / -8;
  const float inverse = scale != 0 ? 1.0F / scale : 0.0F;
  append(out, float_to_half(scale));
  int quants[kBlock];
  std::ranges::transform(
      block, quants, [=](float v) { return std::min(15, static_cast<int>(v * inverse + 8.5F)); });
  append_nibbles(out, quants);
}

void append_q4_1(std::vector<std::byte>& out, std::span<const float> block) {
  const auto [least, most] = std::ranges::minmax(block);
  const float scale = (most - least) / 15;
  const float inverse = scale != 0 ? 1.0F / scale : 0.0F;
  append(out, float_to_half(scale));
  append(out, float_to_half(least));
  int quants[kBlock];
  std::ranges::transform(block, quants, [=, least = least](float v) {
    return std::min(15, static_cast<int>((v - least) * inverse + 0.5F));
  });
  append_nibbles(out, quants);
}

void append_block(std::vector<std::byte>& out, GgmlType type, std::span<const float> block) {
  switch (type) {
    case GgmlType::kF32: return append(out, block[0]);
    case GgmlType::kF16: return append(out, float_to_half(block[0]));
    case GgmlType::kBf16: return append(out, float_to_bfloat16(block[0]));
    case GgmlType::kQ8_0: return append_q8_0(out, block);
    case GgmlType::kQ4_0: return append_q4_0(out, block);
    case GgmlType::kQ4_1: return append_q4_1(out, block);
    default: CHECK(false && "a type that the test writer has no quantizer for");
  }
}

}  // namespace

std::vector<std::byte> quantize(GgmlType type, std::span<const float> values) {
  const std::size_t block_values = info(type).block_values;
  CHECK(values.size() % block_values == 0);
  std::vector<std::byte> out;
  for (std::size_t i = 0; i < values.size(); i += block_values) {
    append_block(out, type, values.subspan(i, block_values));
  }
  return out;
}

void GgufWriter::start_value(std::string_view key, std::uint32_t type) {
  ++key_count_;
  append_string(metadata_, key);
  append(metadata_, type);
}

void GgufWriter::start_array(std::string_view key, std::uint32_t element_type,
                             std::uint64_t count) {
  start_value(key, kArray);
  append(metadata_, element_type);
  append(metadata_, count);
}

GgufWriter& GgufWriter::add(std::string_view key, std::uint32_t value) {
  start_value(key, kU32);
  append(metadata_, value);
  return *this;
}

GgufWriter& GgufWriter::add(std::string_view key, std::int32_t value) {
  start_value(key, kI32);
  append(metadata_, value);
  return *this;
}

GgufWriter& GgufWriter::add(std::string_view key, std::uint64_t value) {
  start_value(key, kU64);
  append(metadata_, value);
  return *this;
}

GgufWriter& GgufWriter::add(std::string_view key, float value) {
  start_value(key, kF32);
  append(metadata_, value);
  return *this;
}

GgufWriter& GgufWriter::add(std::string_view key, bool value) {
  start_value(key, kBool);
  append<std::uint8_t>(metadata_, value ? 1 : 0);
  return *this;
}

GgufWriter& GgufWriter::add(std::string_view key, std::string_view value) {
  start_value(key, kString);
  append_string(metadata_, value);
  return *this;
}

GgufWriter& GgufWriter::add(std::string_view key, const std::vector<std::string>& values) {
  start_array(key, kString, values.size());
  for (const auto& value : values) append_string(metadata_, value);
  return *this;
}

GgufWriter& GgufWriter::add(std::string_view key, const std::vector<std::int32_t>& values) {
  start_array(key, kI32, values.size());
  for (const auto value : values) append(metadata_, value);
  return *this;
}

GgufWriter& GgufWriter::add(std::string_view key, const std::vector<float>& values) {
  start_array(key, kF32, values.size());
  for (const auto value : values) append(metadata_, value);
  return *this;
}

GgufWriter& GgufWriter::add_tensor(std::string_view name, std::vector<std::uint64_t> shape,
                                   GgmlType type, std::span<const float> values) {
  return add_tensor_bytes(name, std::move(shape), static_cast<std::uint32_t>(type),
                          quantize(type, values));
}

GgufWriter& GgufWriter::add_tensor_bytes(std::string_view name, std::vector<std::uint64_t> shape,
                                         std::uint32_t type, std::vector<std::byte> bytes) {
  tensors_.push_back({std::string(name), std::move(shape), type, std::move(bytes)});
  return *this;
}

GgufWriter& GgufWriter::set_version(std::uint32_t version) {
  version_ = version;
  return *this;
}

GgufWriter& GgufWriter::set_alignment(std::uint32_t alignment) {
  alignment_ = alignment;
  return add("general.alignment", alignment);
}

std::vector<std::byte> GgufWriter::bytes() const {
  const auto padded = [this](std::uint64_t size) {
    return (size + alignment_ - 1) / alignment_ * alignment_;
  };
  std::vector<std::byte> out;
  for (const char c : std::string_view("GGUF")) out.push_back(static_cast<std::byte>(c));
  append(out, version_);
  append<std::uint64_t>(out, tensors_.size());
  append(out, key_count_);
  out.insert(out.end(), metadata_.begin(), metadata_.end());
  std::uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    append_string(out, tensor.name);
    append(out, static_cast<std::uint32_t>(tensor.shape.size()));
    for (const auto extent : tensor.shape) append(out, extent);
    append(out, tensor.type);
    append(out, offset);
    offset += padded(tensor.data.size());
  }
  for (const Tensor& tensor : tensors_) {
    out.resize(padded(out.size()));
    out.insert(out.end(), tensor.data.begin(), tensor.data.end());
  }
  return out;
}

Result<void> GgufWriter::write(const std::filesystem::path& path) const {
  TRY(FileWriter file, FileWriter::create(path));
  TRY_VOID(file.write(bytes()));
  return file.commit();
}

}  // namespace onnxlocal::test
