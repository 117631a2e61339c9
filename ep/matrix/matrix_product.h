#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cpu/instruction_set.h"
#include "matrix/matrix_format.h"
#include "rows/rows.h"
#include "threads/parallel.h"

namespace onnxlocal::ep {

/// Rows of activations in 8 bits, made once and multiplied with every matrix that takes them:
/// blocks of 32 columns, symmetric, scale = max|x| / 127, rounded to nearest even. A second term is
/// what the first one left, rounded in the same way: products then take twice the dot products and
/// are as good as with 16 bits. Borrowed memory of `quantized_rows_bytes`, 64-byte aligned. Its
/// layout is the kernels' own: row_tiles.h.
struct QuantizedRows {
  std::size_t rows = 0;
  std::size_t columns = 0;  ///< As given; filled up with zeros to whole blocks.
  std::size_t terms = 1;    ///< 1 or 2.
  std::byte* data = nullptr;
  std::size_t blocks() const { return (columns + 31) / 32; }
  std::size_t records() const { return blocks() * terms; }
};
std::size_t quantized_rows_bytes(std::size_t rows, std::size_t columns, std::size_t terms = 1);
QuantizedRows quantized_rows_over(std::span<std::byte> memory, std::size_t rows,
                                  std::size_t columns, std::size_t terms = 1);

/// What happens to a product's results while they are in registers or cache.
struct ProductOutput {
  Rows out;                     ///< Row m, column n: out.row(m)[n - first_column].
  const float* bias = nullptr;  ///< [matrix rows], added where there.
  std::size_t first_column = 0;
  /// What this thread reads next, fetched ahead; nothing where it is not known.
  const std::byte* next_read = nullptr;
};

/// Products for one instruction set. A result depends on its row of activations and its row of the
/// matrix alone, and is summed over blocks of 32 columns in ascending order (and a block's terms):
/// however many rows are multiplied at once, the bits are the same.
class MatrixKernels {
 public:
  virtual ~MatrixKernels() = default;
  virtual InstructionSet set() const = 0;
  /// Quantizes `x`, [out.columns], into row `row` of `out`. Any finite values; a block of zeros, or
  /// of numbers below 2^-119, has scale 0; infinities and NaNs give NaN scales, so that the results
  /// are NaN and not wrong.
  void quantize_row(const float* x, std::size_t row, const QuantizedRows& out) const {
    quantize_blocks(x, row, 0, out.blocks(), out);
  }
  /// The same for its blocks of 32 columns [first, last) alone; `x` begins with the row.
  virtual void quantize_blocks(const float* x, std::size_t row, std::size_t first, std::size_t last,
                               const QuantizedRows& out) const = 0;
  /// The products of all rows of `x` with the matrix's groups [first, last).
  virtual void multiply_groups(const PackedMatrix& matrix, const QuantizedRows& x,
                               std::size_t first, std::size_t last,
                               const ProductOutput& output) const = 0;
  /// Row `row` of the matrix as floats, `columns` of them: an embedding lookup.
  virtual void dequantize_row(const PackedMatrix& matrix, std::size_t row, float* out) const = 0;
};
const MatrixKernels& matrix_kernels(InstructionSet set);

/// Quantizes all rows. Few rows run on the caller.
void quantize_rows(const MatrixKernels& kernels, Parallel& parallel, ConstRows x,
                   const QuantizedRows& out);

/// All products, shared out over threads by groups (and by rows where there are many).
void multiply(const MatrixKernels& kernels, Parallel& parallel, const PackedMatrix& matrix,
              const QuantizedRows& x, const ProductOutput& output);

/// Two matrices of one shape on the same input, and activation(first) * second: a gated
/// feed-forward's first half, in one pass. REQUIRES: no bias.
void multiply_gated(const MatrixKernels& kernels, const RowKernels& rows, Parallel& parallel,
                    const PackedMatrix& gate, const PackedMatrix& up, Activation activation,
                    const QuantizedRows& x, const ProductOutput& output);

}  // namespace onnxlocal::ep
