#pragma once

#include <cstddef>

#include "matrix/matrix_product.h"
#include "matrix/quantize_block.h"

namespace onnxlocal::ep {

/// What a file for one instruction set gives: plain functions, so that nothing inline is compiled
/// for more than the processor may have.
struct KernelTable {
  void (*quantize_blocks)(const QuantizeTask& task);
  void (*multiply_groups)(const PackedMatrix& matrix, const QuantizedRows& x, std::size_t first,
                          std::size_t last, const ProductOutput& output);
};

extern const KernelTable kPortableKernels;
#if defined(__x86_64__)
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvxVnniKernels;
extern const KernelTable kAvx512Kernels;
#elif defined(__aarch64__)
extern const KernelTable kNeonDotKernels;
extern const KernelTable kNeonI8mmKernels;
#endif

}  // namespace onnxlocal::ep
