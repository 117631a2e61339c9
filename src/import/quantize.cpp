#include "import/quantize.h"

#include <fmt/format.h>

#include <cstring>

#include "base/check.h"
#include "import/half.h"

namespace onnxlocal {
namespace {

// Blocks, as ggml lays them (ggml-common.h), little endian:
//   Q8_0: half d, 32 x int8 q          value = q * d
//   Q4_0: half d, 16 bytes             value = (q - 8) * d
//   Q4_1: half d, half m, 16 bytes     value = q * d + m
// A 4-bit block keeps value i in the low half of byte i and value i + 16 in the high half.
constexpr std::size_t kHalfBlock = kQuantBlockValues / 2;

float half_at(const std::byte* at) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, at, sizeof(bits));
  return half_to_float(bits);
}

std::size_t quants_offset(GgmlType type) { return type == GgmlType::kQ4_1 ? 4 : 2; }

/// ggml's halves of a block to ONNX's neighbours in a byte.
void repack_nibbles(const std::byte* from, std::uint8_t* to) {
  const auto value = [from](std::size_t index) {
    const auto byte = std::to_integer<unsigned>(from[index % kHalfBlock]);
    return index < kHalfBlock ? byte & 15U : byte >> 4U;
  };
  for (std::size_t i = 0; i < kHalfBlock; ++i) {
    to[i] = static_cast<std::uint8_t>(value(2 * i) | value(2 * i + 1) << 4U);
  }
}

/// A constant Q4_1 block (d = 0) has value m alone: then quants are 0, the scale m, the zero-point
/// -1, which gives (0 + 1) * m.
struct Q41Block {
  float scale;
  float zero_point;
  bool is_constant;
};

Q41Block q4_1_block(const std::byte* block) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  if (d == 0.0F) return {m, -1.0F, true};
  return {d, -m / d, false};
}

template <class Visit>
void for_each_block(GgmlType type, std::span<const std::byte> row, Visit visit) {
  const std::size_t block_bytes = info(type).block_bytes;
  DCHECK(row.size() % block_bytes == 0);
  for (std::size_t i = 0; i < row.size() / block_bytes; ++i) {
    visit(i, row.data() + i * block_bytes);
  }
}

}  // namespace

Result<WeightLayout> weight_layout(GgmlType type) {
  switch (type) {
    case GgmlType::kF32:
    case GgmlType::kF16:
    case GgmlType::kBf16: return WeightLayout{};
    case GgmlType::kQ8_0: return WeightLayout{.bits = 8, .has_zero_points = false};
    case GgmlType::kQ4_0: return WeightLayout{.bits = 4, .has_zero_points = false};
    case GgmlType::kQ4_1: return WeightLayout{.bits = 4, .has_zero_points = true};
    default: break;
  }
  return std::unexpected(
      unsupported(fmt::format("tensor type {} is not supported", to_string(type)),
                  "supported are F32, F16, BF16, Q8_0, Q4_0 and Q4_1"));
}

void pack_quants(GgmlType type, std::span<const std::byte> row, std::span<std::uint8_t> quants) {
  const auto first = quants_offset(type);
  if (type == GgmlType::kQ8_0) {
    for_each_block(type, row, [&](std::size_t index, const std::byte* block) {
      auto* to = quants.data() + index * kQuantBlockValues;
      for (std::size_t i = 0; i < kQuantBlockValues; ++i) {
        // Signed q to unsigned q + 128: the sign bit flips.
        to[i] = static_cast<std::uint8_t>(std::to_integer<unsigned>(block[first + i]) ^ 0x80U);
      }
    });
    return;
  }
  for_each_block(type, row, [&](std::size_t index, const std::byte* block) {
    auto* to = quants.data() + index * kHalfBlock;
    if (type == GgmlType::kQ4_1 && q4_1_block(block).is_constant) {
      std::memset(to, 0, kHalfBlock);
    } else {
      repack_nibbles(block + first, to);
    }
  });
}

void pack_scales(GgmlType type, std::span<const std::byte> row, std::span<float> scales) {
  for_each_block(type, row, [&](std::size_t index, const std::byte* block) {
    scales[index] = type == GgmlType::kQ4_1 ? q4_1_block(block).scale : half_at(block);
  });
}

void pack_zero_points(GgmlType type, std::span<const std::byte> row, std::span<float> zero_points) {
  for_each_block(type, row, [&](std::size_t index, const std::byte* block) {
    zero_points[index] = q4_1_block(block).zero_point;
  });
}

}  // namespace onnxlocal
