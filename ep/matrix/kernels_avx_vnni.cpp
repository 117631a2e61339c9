// AVX-VNNI: the dot product of four columns in one instruction, with 32-bit sums.

#include "matrix/kernel_table.h"
#include "matrix/kernels_256.h"

namespace onnxlocal::ep {

namespace {

struct AvxVnniDot {
  template <int kBits>
  ONNXLOCAL_INLINE static __m256i block(const __m256i (&weights)[8], const std::byte* values) {
    __m256i sums = _mm256_setzero_si256();
    unroll<8>([&](auto j) ONNXLOCAL_INLINE {
      const __m256i x = _mm256_set1_epi32(*reinterpret_cast<const int*>(values + 4 * j));
      sums = _mm256_dpbusd_avx_epi32(sums, weights[j], x);
    });
    return sums;
  }
};

}  // namespace

const KernelTable kAvxVnniKernels{.quantize_blocks = Kernels256<AvxVnniDot>::quantize_blocks,
                                  .multiply_groups = multiply_groups_with<Kernels256<AvxVnniDot>>};

}  // namespace onnxlocal::ep
