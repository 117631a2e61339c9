// AVX2. vpmaddubsw sums pairs of products in 16 bits and saturates there: four bits of a weight at
// a time are safe, and so are all eight pairs of a block: 8 * 2 * 15 * 127 = 30480.

#include "matrix/kernel_table.h"
#include "matrix/kernels_256.h"

namespace onnxlocal::ep {

namespace {

struct Avx2Dot {
  template <int kBits>
  ONNXLOCAL_INLINE static __m256i block(const __m256i (&weights)[8], const std::byte* values) {
    const __m256i ones = _mm256_set1_epi16(1);
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i low = _mm256_setzero_si256();
    __m256i high = _mm256_setzero_si256();
    unroll<8>([&](auto j) ONNXLOCAL_INLINE {
      const __m256i x = _mm256_set1_epi32(*reinterpret_cast<const int*>(values + 4 * j));
      if constexpr (kBits == 4) {
        low = _mm256_add_epi16(low, _mm256_maddubs_epi16(weights[j], x));
      } else {
        low = _mm256_add_epi16(low, _mm256_maddubs_epi16(_mm256_and_si256(weights[j], nibble), x));
        const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(weights[j], 4), nibble);
        high = _mm256_add_epi16(high, _mm256_maddubs_epi16(upper, x));
      }
    });
    const __m256i sum = _mm256_madd_epi16(low, ones);
    if constexpr (kBits == 4) return sum;
    return _mm256_add_epi32(sum, _mm256_slli_epi32(_mm256_madd_epi16(high, ones), 4));
  }
};

}  // namespace

const KernelTable kAvx2Kernels{.quantize_blocks = Kernels256<Avx2Dot>::quantize_blocks,
                               .multiply_groups = multiply_groups_with<Kernels256<Avx2Dot>>};

}  // namespace onnxlocal::ep
