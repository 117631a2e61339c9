#include "matrix/test_matrix.h"

namespace onnxlocal::ep {

TestMatrix::TestMatrix(const MatrixSpec& spec) {
  source = {.rows = spec.rows,
            .columns = spec.columns,
            .bits = spec.bits,
            .block = spec.block,
            .quants = {},
            .scales = {},
            .scales_type = spec.scales_type,
            .integer_zeros = {},
            .float_zeros = {}};
  std::mt19937 random(spec.seed);
  std::uniform_real_distribution<float> number(-1, 1);
  const std::size_t blocks = (spec.columns + spec.block - 1) / spec.block;
  const std::size_t numbers = spec.rows * blocks;
  quants_.resize(numbers * spec.block * spec.bits / 8);
  for (std::byte& byte : quants_) byte = static_cast<std::byte>(random());
  for (std::size_t i = 0; i < numbers; ++i) add_number(scales_, spec.scale(number(random)));
  if (spec.zeros == TestZeros::kInteger) {
    integer_zeros_.resize(spec.rows * ((blocks * spec.bits + 7) / 8));
    for (std::byte& byte : integer_zeros_) byte = static_cast<std::byte>(random());
  } else if (spec.zeros == TestZeros::kFloat) {
    for (std::size_t i = 0; i < numbers; ++i) add_number(float_zeros_, 8 + 9 * number(random));
  }
  source.quants = quants_;
  source.scales = scales_;
  source.integer_zeros = integer_zeros_;
  source.float_zeros = float_zeros_;
  weights.reserve(std::size_t{spec.rows} * spec.columns);
  magnitudes.reserve(weights.capacity());
  for (std::size_t row = 0; row < spec.rows; ++row) {
    for (std::size_t column = 0; column < spec.columns; ++column) {
      const std::size_t block = column / spec.block;
      const double scale = this->number(scales_, row * blocks + block);
      const double zero = zero_at(row, block);
      const double quant = quant_at(row, column);
      weights.push_back(scale * (quant - zero));
      magnitudes.push_back(std::abs(scale) * (quant + std::abs(zero)));
    }
  }
}

void TestMatrix::add_number(std::vector<std::byte>& numbers, float value) const {
  std::uint32_t bits = 0;
  std::size_t size = 2;
  switch (source.scales_type) {
    case MatrixSource::Number::kFloat32:
      std::memcpy(&bits, &value, 4);
      size = 4;
      break;
    case MatrixSource::Number::kFloat16: bits = to_f16(value); break;
    case MatrixSource::Number::kBfloat16: bits = to_bf16(value); break;
  }
  const auto* bytes = reinterpret_cast<const std::byte*>(&bits);
  numbers.insert(numbers.end(), bytes, bytes + size);
}

float TestMatrix::number(const std::vector<std::byte>& numbers, std::size_t index) const {
  if (source.scales_type == MatrixSource::Number::kFloat32) {
    float value = 0;
    std::memcpy(&value, numbers.data() + 4 * index, 4);
    return value;
  }
  std::uint16_t bits = 0;
  std::memcpy(&bits, numbers.data() + 2 * index, 2);
  return source.scales_type == MatrixSource::Number::kFloat16 ? from_f16(bits) : from_bf16(bits);
}

double TestMatrix::zero_at(std::size_t row, std::size_t block) const {
  const std::size_t blocks = (source.columns + source.block - 1) / source.block;
  if (!float_zeros_.empty()) return number(float_zeros_, row * blocks + block);
  if (integer_zeros_.empty()) return 1U << (source.bits - 1U);
  if (source.bits == 8) return static_cast<unsigned>(integer_zeros_[row * blocks + block]);
  const auto pair = static_cast<unsigned>(integer_zeros_[row * ((blocks + 1) / 2) + block / 2]);
  return block % 2 == 0 ? pair % 16 : pair / 16;
}

unsigned TestMatrix::quant_at(std::size_t row, std::size_t column) const {
  const std::size_t row_bytes = quants_.size() / source.rows;
  if (source.bits == 8) return static_cast<unsigned>(quants_[row * row_bytes + column]);
  const auto pair = static_cast<unsigned>(quants_[row * row_bytes + column / 2]);
  return column % 2 == 0 ? pair % 16 : pair / 16;
}

}  // namespace onnxlocal::ep
