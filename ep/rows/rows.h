#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cpu/instruction_set.h"

namespace onnxlocal::ep {

/// Rows of floats inside a larger buffer: row r begins at data + r * stride. Borrowed.
struct Rows {
  float* data = nullptr;
  std::size_t stride = 0;  ///< In floats.
  float* row(std::size_t index) const { return data + index * stride; }
};
struct ConstRows {
  const float* data = nullptr;
  std::size_t stride = 0;
  ConstRows() = default;
  ConstRows(const float* first, std::size_t row_stride) : data(first), stride(row_stride) {}
  ConstRows(const Rows& rows) : data(rows.data), stride(rows.stride) {}  // NOLINT: as for a span.
  const float* row(std::size_t index) const { return data + index * stride; }
};

enum class Activation { kSilu, kGeluTanh, kGeluErf };

/// Arithmetic on one row, for one instruction set. Every function computes a row from that row
/// alone, in one fixed order. `n` is any size; there is no alignment to keep; in and out may be the
/// same row and overlap in no other way.
struct RowKernels {
  InstructionSet set;
  /// out = x / sqrt(mean(x^2) + epsilon) * weight
  void (*rms_norm)(const float* x, const float* weight, float epsilon, std::size_t n, float* out);
  /// sum = a + b; out = rms_norm(sum). `sum` may be `a`.
  void (*add_rms_norm)(const float* a, const float* b, const float* weight, float epsilon,
                       std::size_t n, float* sum, float* out);
  void (*add)(const float* a, const float* b, std::size_t n, float* out);
  void (*multiply)(const float* a, const float* b, std::size_t n, float* out);
  void (*scale)(const float* a, float factor, std::size_t n, float* out);
  /// out = activation(gate) * up. Relative error of the activation below 2e-6.
  void (*gate)(Activation activation, const float* gate, const float* up, std::size_t n,
               float* out);
  void (*activate)(Activation activation, const float* x, std::size_t n, float* out);
  /// out = cap * tanh(x / cap)
  void (*softcap)(const float* x, float cap, std::size_t n, float* out);
  /// Rotates one head in place: pairs (i, i + half) or, interleaved, (2i, 2i + 1); `half` pairs,
  /// cos and sin hold `half` values. Floats behind 2 * half stay.
  void (*rotate)(float* head, const float* cos, const float* sin, std::size_t half,
                 bool interleaved);
};

/// The kernels for a set that is available here; the nearest slower set's where it has none.
const RowKernels& row_kernels(InstructionSet set);

}  // namespace onnxlocal::ep
