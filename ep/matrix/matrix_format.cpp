#include "matrix/matrix_format.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>

#include "cpu/number_formats.h"

static_assert(std::endian::native == std::endian::little);

namespace onnxlocal::ep {

namespace {

constexpr std::size_t kLine = 64;
std::size_t to_lines(std::size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

/// Groups that one task packs or looks at: some hundred kilobytes.
constexpr std::size_t kGroupsPerTask = 8;

std::size_t blocks_of(const MatrixSource& source) {
  return (std::size_t{source.columns} + source.block - 1) / source.block;
}

std::size_t number_bytes(MatrixSource::Number type) {
  return type == MatrixSource::Number::kFloat32 ? 4 : 2;
}

float number_at(std::span<const std::byte> numbers, MatrixSource::Number type, std::size_t index) {
  if (type == MatrixSource::Number::kFloat32) {
    float value = 0;
    std::memcpy(&value, numbers.data() + 4 * index, 4);
    return value;
  }
  std::uint16_t bits = 0;
  std::memcpy(&bits, numbers.data() + 2 * index, 2);
  return type == MatrixSource::Number::kFloat16 ? from_f16(bits) : from_bf16(bits);
}

/// The zero point of block `block` of row `row`; the middle where the source has none.
unsigned integer_zero_at(const MatrixSource& source, std::size_t row, std::size_t block) {
  if (source.integer_zeros.empty()) return 1U << (source.bits - 1U);
  if (source.bits == 8) {
    return static_cast<unsigned>(source.integer_zeros[row * blocks_of(source) + block]);
  }
  const std::size_t row_bytes = (blocks_of(source) + 1) / 2;
  const auto pair = static_cast<unsigned>(source.integer_zeros[row * row_bytes + block / 2]);
  return block % 2 == 0 ? pair & 15U : pair >> 4U;
}

float minimum_at(const MatrixSource& source, std::size_t index) {
  return -number_at(source.scales, source.scales_type, index) *
         number_at(source.float_zeros, source.scales_type, index);
}

bool is_exact_half(float value) {
  return std::bit_cast<std::uint32_t>(from_f16(to_f16(value))) ==
         std::bit_cast<std::uint32_t>(value);
}

/// A Q4_1 minimum was a half before an import divided it by the scale: -s * z comes back to it but
/// for the two roundings.
bool was_half(float value) {
  const float half = from_f16(to_f16(value));
  return std::abs(half - value) <= 0x1p-20F * std::abs(value);
}

bool row_has_half_scales(const MatrixSource& source, std::size_t row) {
  const std::size_t blocks = blocks_of(source);
  for (std::size_t i = row * blocks; i < (row + 1) * blocks; ++i) {
    if (!is_exact_half(number_at(source.scales, source.scales_type, i))) return false;
    if (!source.float_zeros.empty() && !was_half(minimum_at(source, i))) return false;
  }
  return true;
}

bool row_is_symmetric(const MatrixSource& source, std::size_t row) {
  const unsigned middle = 1U << (source.bits - 1U);
  for (std::size_t block = 0; block < blocks_of(source); ++block) {
    if (integer_zero_at(source, row, block) != middle) return false;
  }
  return true;
}

/// Four nibbles to four bytes.
std::uint32_t spread(std::uint32_t nibbles) {
  const std::uint32_t pairs = (nibbles | (nibbles << 8U)) & 0x00ff'00ffU;
  return (pairs | (pairs << 4U)) & 0x0f0f'0f0fU;
}

/// One row's quants into its lane of the group.
void pack_quants(const MatrixSource& source, std::size_t row, std::byte* lane_quants) {
  const std::size_t row_bytes = source.quants.size() / source.rows;
  const std::byte* from = source.quants.data() + row * row_bytes;
  const std::size_t block_bytes = 4U * source.bits;  // Of 32 columns.
  const std::size_t blocks = (std::size_t{source.columns} + 31) / 32;
  for (std::size_t block = 0; block < blocks; ++block) {
    std::uint8_t bytes[32] = {};
    const std::size_t begin = block * block_bytes;
    std::memcpy(bytes, from + begin, std::min(block_bytes, row_bytes - begin));
    std::byte* to = lane_quants + block * 16 * block_bytes;
    for (std::size_t quad = 0; quad < source.bits; ++quad, to += 64) {
      if (source.bits == 8) {
        std::memcpy(to, bytes + 4 * quad, 4);
        continue;
      }
      const std::uint32_t low = bytes[2 * quad] | (bytes[2 * quad + 1] << 8U);
      const std::uint32_t high = bytes[8 + 2 * quad] | (bytes[9 + 2 * quad] << 8U);
      const std::uint32_t packed = spread(low) | (spread(high) << 4U);
      std::memcpy(to, &packed, 4);
      if (quad == 3) break;
    }
  }
}

void store_number(std::byte* numbers, std::size_t index, float value, bool is_half) {
  if (is_half) {
    const std::uint16_t bits = to_f16(value);
    std::memcpy(numbers + 2 * index, &bits, 2);
  } else {
    std::memcpy(numbers + 4 * index, &value, 4);
  }
}

void pack_group(const MatrixSource& source, const MatrixFormat& format, std::size_t group,
                std::byte* packed) {
  constexpr std::size_t kRows = MatrixFormat::kGroupRows;
  std::memset(packed, 0, format.group_bytes());
  std::byte* scales = packed + format.quants_bytes();
  std::byte* zeros = scales + format.scales_bytes();
  const std::size_t blocks = format.blocks();
  for (std::size_t lane = 0; lane < kRows; ++lane) {
    const std::size_t row = group * kRows + lane;
    if (row >= source.rows) break;
    pack_quants(source, row, packed + 4 * lane);
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::size_t from = row * blocks + block;
      const std::size_t to = block * kRows + lane;
      store_number(scales, to, number_at(source.scales, source.scales_type, from),
                   format.has_half_scales);
      if (format.zeros == ZeroPoints::kMinimum) {
        store_number(zeros, to, minimum_at(source, from), format.has_half_scales);
      } else if (format.zeros == ZeroPoints::kInteger) {
        zeros[to] = static_cast<std::byte>(integer_zero_at(source, row, block));
      }
    }
  }
}

template <class Predicate>
bool all_rows(std::size_t rows, Parallel& parallel, Predicate holds) {
  constexpr std::size_t kRowsPerTask = kGroupsPerTask * MatrixFormat::kGroupRows;
  std::atomic<bool> all = true;
  parallel.run((rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::size_t task) {
    const std::size_t last = std::min((task + 1) * kRowsPerTask, rows);
    for (std::size_t row = task * kRowsPerTask; row < last; ++row) {
      if (!all.load(std::memory_order_relaxed)) return;
      if (!holds(row)) all.store(false, std::memory_order_relaxed);
    }
  });
  return all;
}

}  // namespace

std::size_t MatrixFormat::quants_bytes() const {
  return (std::size_t{columns} + 31) / 32 * 64 * bits;
}
std::size_t MatrixFormat::scales_bytes() const {
  return to_lines(blocks() * kGroupRows * (has_half_scales ? 2 : 4));
}
std::size_t MatrixFormat::zeros_bytes() const {
  switch (zeros) {
    case ZeroPoints::kSymmetric: return 0;
    case ZeroPoints::kInteger: return to_lines(blocks() * kGroupRows);
    case ZeroPoints::kMinimum: return scales_bytes();
  }
  return 0;
}

std::optional<std::string> check_source(const MatrixSource& source) {
  const auto wrong = [](const char* what, std::size_t found, std::size_t expected) {
    return std::string(what) + " has " + std::to_string(found) + " bytes, expected " +
           std::to_string(expected);
  };
  if (source.rows == 0 || source.columns == 0) return "the matrix is empty";
  if (source.bits != 4 && source.bits != 8) {
    return std::to_string(source.bits) + " bits: only 4 and 8 are supported";
  }
  if (source.block != 32 && source.block != 64 && source.block != 128 && source.block != 256) {
    return "blocks of " + std::to_string(source.block) + ": only 32, 64, 128 and 256 are supported";
  }
  const std::size_t rows = source.rows;
  const std::size_t blocks = blocks_of(source);
  const std::size_t whole = rows * blocks * source.block * source.bits / 8;
  const std::size_t table = rows * ((std::size_t{source.columns} * source.bits + 7) / 8);
  if (source.quants.size() != whole && source.quants.size() != table) {
    return wrong("quants", source.quants.size(), whole);
  }
  const std::size_t numbers = rows * blocks * number_bytes(source.scales_type);
  if (source.scales.size() != numbers) return wrong("scales", source.scales.size(), numbers);
  if (!source.float_zeros.empty() && source.float_zeros.size() != numbers) {
    return wrong("float zero points", source.float_zeros.size(), numbers);
  }
  const std::size_t zeros = rows * ((blocks * source.bits + 7) / 8);
  if (!source.integer_zeros.empty() && source.integer_zeros.size() != zeros) {
    return wrong("zero points", source.integer_zeros.size(), zeros);
  }
  if (!source.integer_zeros.empty() && !source.float_zeros.empty()) {
    return "zero points both as integers and as numbers";
  }
  return std::nullopt;
}

MatrixFormat choose_format(const MatrixSource& source, Parallel& parallel) {
  MatrixFormat format{.rows = source.rows,
                      .columns = source.columns,
                      .bits = source.bits,
                      .block = source.block,
                      .zeros = ZeroPoints::kSymmetric,
                      .has_half_scales = true};
  if (!source.float_zeros.empty()) {
    format.zeros = ZeroPoints::kMinimum;
  } else if (!source.integer_zeros.empty()) {
    const bool symmetric = all_rows(source.rows, parallel,
                                    [&](std::size_t row) { return row_is_symmetric(source, row); });
    format.zeros = symmetric ? ZeroPoints::kSymmetric : ZeroPoints::kInteger;
  }
  format.has_half_scales = all_rows(
      source.rows, parallel, [&](std::size_t row) { return row_has_half_scales(source, row); });
  return format;
}

void pack_matrix(const MatrixSource& source, const MatrixFormat& format,
                 std::span<std::byte> packed, Parallel& parallel) {
  const std::size_t groups = format.groups();
  const std::size_t bytes = format.group_bytes();
  parallel.run((groups + kGroupsPerTask - 1) / kGroupsPerTask, [&](std::size_t task) {
    const std::size_t last = std::min((task + 1) * kGroupsPerTask, groups);
    for (std::size_t group = task * kGroupsPerTask; group < last; ++group) {
      pack_group(source, format, group, packed.data() + group * bytes);
    }
  });
}

}  // namespace onnxlocal::ep
