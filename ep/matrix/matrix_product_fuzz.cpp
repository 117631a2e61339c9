// The input gives a matrix in any format and rows of bounded numbers. Every set that this machine
// has must quantize them to portable's bits, give the sum in double precision of what it quantized
// (matrix_product_test.cpp has the same bound), and a row's bits whatever the other rows.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cpu/fuzz_input.h"
#include "matrix/matrix_product.h"
#include "matrix/row_tiles.h"
#include "matrix/test_matrix.h"

namespace onnxlocal::ep {
namespace {

constexpr unsigned kSpread = 20;

MatrixSpec read_spec(FuzzInput& input) {
  constexpr std::uint32_t kBlocks[] = {32, 64, 128, 256};
  constexpr TestZeros kZeros[] = {TestZeros::kNone, TestZeros::kInteger, TestZeros::kFloat};
  constexpr MatrixSource::Number kTypes[] = {MatrixSource::Number::kFloat32,
                                             MatrixSource::Number::kFloat16,
                                             MatrixSource::Number::kBfloat16};
  MatrixSpec spec;
  spec.rows = input.between(1, 40);
  spec.columns = input.between(1, 400);
  spec.bits = input.flag() ? 4 : 8;
  spec.block = input.pick(kBlocks);
  spec.zeros = input.pick(kZeros);
  spec.scales_type = input.pick(kTypes);
  spec.seed = input.between(0, 0xffff);
  const float largest = std::ldexp(1.0F, static_cast<int>(input.between(0, 30)) - 18);
  spec.scale = [largest](float number) { return largest * number; };
  return spec;
}

/// Activations in 8 bits by one set.
struct Activations {
  Activations(InstructionSet set, const std::vector<float>& x, std::size_t row_count,
              std::size_t columns, std::size_t terms)
      : memory(quantized_rows_bytes(row_count, columns, terms)),
        rows(quantized_rows_over(memory.span(), row_count, columns, terms)) {
    BackwardsParallel parallel(1);
    quantize_rows(matrix_kernels(set), parallel, ConstRows(x.data(), columns), rows);
  }
  /// What the terms of a value come to.
  double value(std::size_t row, std::size_t column) const {
    const RowPlace place = place_of(rows.data, rows.rows, rows.records(), row);
    double sum = 0;
    for (std::size_t term = 0; term < rows.terms; ++term) {
      const std::size_t record = column / kBlockColumns * rows.terms + term;
      const RecordView<std::byte> view{
          .data = place.record + record * place.height * kRecordBytesPerRow,
          .height = place.height};
      float scale = 0;
      std::memcpy(&scale, view.scales() + 4 * place.row, sizeof scale);
      const auto bits = static_cast<std::int8_t>(view.values(place.row)[column % kBlockColumns]);
      sum += double{scale} * bits;
    }
    return sum;
  }

  AlignedBytes memory;
  QuantizedRows rows;
};

std::vector<float> product(InstructionSet set, const PackedMatrix& matrix, const Activations& x) {
  std::vector<float> out(x.rows.rows * matrix.format.rows);
  BackwardsParallel parallel(2);
  ProductOutput output;
  output.out = Rows{.data = out.data(), .stride = matrix.format.rows};
  multiply(matrix_kernels(set), parallel, matrix, x.rows, output);
  return out;
}

/// The products in double precision, and how far a kernel may be from each.
struct Expected {
  std::vector<double> sums;
  std::vector<double> tolerances;
};
Expected expected_products(const TestMatrix& matrix, const Activations& x) {
  const std::size_t columns = matrix.source.columns;
  Expected expected;
  std::vector<double> values(columns);
  for (std::size_t row = 0; row < x.rows.rows; ++row) {
    for (std::size_t k = 0; k < columns; ++k) values[k] = x.value(row, k);
    for (std::size_t n = 0; n < matrix.source.rows; ++n) {
      double sum = 0;
      double magnitude = 0;
      for (std::size_t k = 0; k < columns; ++k) {
        sum += values[k] * matrix.weights[n * columns + k];
        magnitude += std::abs(values[k]) * matrix.magnitudes[n * columns + k];
      }
      expected.sums.push_back(sum);
      // Float sums of some ten blocks; minima may be off by 2^-20 where they were halves.
      expected.tolerances.push_back(4e-6 * magnitude + 1e-36);
    }
  }
  return expected;
}

/// The rounded values are within half a step of the given ones.
void check_rounding(const std::vector<float>& x, const Activations& rounded) {
  const std::size_t columns = rounded.rows.columns;
  for (std::size_t row = 0; row < rounded.rows.rows; ++row) {
    for (std::size_t first = 0; first < columns; first += kBlockColumns) {
      const std::size_t last = std::min(first + kBlockColumns, columns);
      double largest = 0;
      for (std::size_t k = first; k < last; ++k) {
        largest = std::max(largest, std::abs(double{x[row * columns + k]}));
      }
      const double step = largest / 127;
      const double half = rounded.rows.terms == 1 ? step / 2 : step / 2 / 127 / 2;
      for (std::size_t k = first; k < last; ++k) {
        const double off = std::abs(x[row * columns + k] - rounded.value(row, k));
        expect(off <= half * (1 + 0x1p-9) + step * 0x1p-16);
      }
    }
  }
}

void check_lookups(InstructionSet set, const TestMatrix& matrix, const PackedMatrix& packed) {
  const std::size_t columns = matrix.source.columns;
  std::vector<float> row(columns);
  for (std::size_t n = 0; n < matrix.source.rows; ++n) {
    matrix_kernels(set).dequantize_row(packed, n, row.data());
    for (std::size_t k = 0; k < columns; ++k) {
      const std::size_t at = n * columns + k;
      expect(std::abs(row[k] - matrix.weights[at]) <= 2e-6 * matrix.magnitudes[at] + 1e-38);
    }
  }
}

}  // namespace
}  // namespace onnxlocal::ep

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxlocal::ep;
  FuzzInput input(data, size);
  const TestMatrix matrix(read_spec(input));
  const std::size_t rows = input.between(1, 20);
  const std::size_t terms = input.between(1, 2);
  const std::size_t columns = matrix.source.columns;
  const std::vector<float> x = input.numbers(rows * columns, kSpread);
  const std::size_t alone = input.between(0, static_cast<std::uint32_t>(rows) - 1);

  BackwardsParallel parallel(1);
  const MatrixFormat format = choose_format(matrix.source, parallel);
  const AlignedBytes bytes(format.packed_bytes());
  pack_matrix(matrix.source, format, bytes.span(), parallel);
  const PackedMatrix packed{.format = format, .packed = bytes.span()};

  const Activations plain(InstructionSet::kPortable, x, rows, columns, terms);
  check_rounding(x, plain);
  const Expected expected = expected_products(matrix, plain);
  const auto first = x.begin() + static_cast<std::ptrdiff_t>(alone * columns);
  const std::vector<float> one(first, first + static_cast<std::ptrdiff_t>(columns));
  for (const InstructionSet set : available_instruction_sets()) {
    const Activations quantized(set, x, rows, columns, terms);
    expect(std::ranges::equal(quantized.memory.span(), plain.memory.span()));
    const std::vector<float> out = product(set, packed, quantized);
    for (std::size_t i = 0; i < out.size(); ++i) {
      expect(std::abs(out[i] - expected.sums[i]) <= expected.tolerances[i]);
    }
    const std::vector<float> single =
        product(set, packed, Activations(set, one, 1, columns, terms));
    expect(std::memcmp(single.data(), out.data() + alone * format.rows,
                       single.size() * sizeof(float)) == 0);
    check_lookups(set, matrix, packed);
  }
  return 0;
}
