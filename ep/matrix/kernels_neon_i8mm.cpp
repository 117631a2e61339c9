// ARMv8.6: products of 2x8 with 8x2 bytes, unsigned by signed, for two rows of activations at once;
// a single row takes the mixed dot product.

#include "matrix/kernel_table.h"
#include "matrix/kernels_128.h"

namespace onnxlocal::ep {

namespace {

struct NeonI8mm {
  template <int kBits, int kCount>
  ONNXLOCAL_INLINE static void block(const uint8x16_t (&weights)[8], const std::byte* values,
                                     const int32x4_t (&)[kCount], int32x4_t (&dots)[kCount]) {
    unroll<kCount / 2>([&](auto pair) ONNXLOCAL_INLINE {
      two_rows(weights, values + 2 * kBlockColumns * pair, dots[2 * pair], dots[2 * pair + 1]);
    });
    if constexpr (kCount % 2 == 1) {
      dots[kCount - 1] = one_row(weights, values + kBlockColumns * (kCount - 1));
    }
  }

 private:
  ONNXLOCAL_INLINE static int32x4_t one_row(const uint8x16_t (&weights)[8],
                                            const std::byte* values) {
    const auto* x = reinterpret_cast<const std::int8_t*>(values);
    const int8x16_t low = vld1q_s8(x);
    const int8x16_t high = vld1q_s8(x + 16);
    int32x4_t sums = vdupq_n_s32(0);
    unroll<4>([&](auto j) ONNXLOCAL_INLINE { sums = vusdotq_laneq_s32(sums, weights[j], low, j); });
    unroll<4>([&](auto j)
                  ONNXLOCAL_INLINE { sums = vusdotq_laneq_s32(sums, weights[4 + j], high, j); });
    return sums;
  }

  ONNXLOCAL_INLINE static void two_rows(const uint8x16_t (&weights)[8], const std::byte* values,
                                        int32x4_t& first, int32x4_t& second) {
    const auto* x = reinterpret_cast<const std::int8_t*>(values);
    // [lane][row]: lanes 0 and 1, lanes 2 and 3.
    int32x4_t low = vdupq_n_s32(0);
    int32x4_t high = vdupq_n_s32(0);
    unroll<4>([&](auto k) ONNXLOCAL_INLINE {
      const int8x16_t rows = vcombine_s8(vld1_s8(x + 8 * k), vld1_s8(x + 32 + 8 * k));
      const uint32x4_t quad = vreinterpretq_u32_u8(weights[2 * k]);
      const uint32x4_t next = vreinterpretq_u32_u8(weights[2 * k + 1]);
      low = vusmmlaq_s32(low, vreinterpretq_u8_u32(vzip1q_u32(quad, next)), rows);
      high = vusmmlaq_s32(high, vreinterpretq_u8_u32(vzip2q_u32(quad, next)), rows);
    });
    first = vuzp1q_s32(low, high);
    second = vuzp2q_s32(low, high);
  }
};

}  // namespace

const KernelTable kNeonI8mmKernels{.quantize_blocks = Kernels128<NeonI8mm>::quantize_blocks,
                                   .multiply_groups = multiply_groups_with<Kernels128<NeonI8mm>>};

}  // namespace onnxlocal::ep
