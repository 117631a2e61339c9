// ARMv8.2 dot products. They multiply signed bytes alone: 8-bit weights are taken as weight - 128,
// and 128 times the sum of the activations is added.

#include "matrix/kernel_table.h"
#include "matrix/kernels_128.h"

namespace onnxlocal::ep {

namespace {

struct NeonDot {
  template <int kBits, int kCount>
  ONNXLOCAL_INLINE static void block(const uint8x16_t (&weights)[8], const std::byte* values,
                                     const int32x4_t (&x_sums)[kCount], int32x4_t (&dots)[kCount]) {
    int8x16_t quads[8];
    unroll<8>([&](auto j) ONNXLOCAL_INLINE {
      const uint8x16_t shifted = kBits == 8 ? veorq_u8(weights[j], vdupq_n_u8(128)) : weights[j];
      quads[j] = vreinterpretq_s8_u8(shifted);
    });
    unroll<kCount>([&](auto i) ONNXLOCAL_INLINE {
      const auto* x = reinterpret_cast<const std::int8_t*>(values + kBlockColumns * i);
      const int8x16_t low = vld1q_s8(x);
      const int8x16_t high = vld1q_s8(x + 16);
      dots[i] = kBits == 8 ? vshlq_n_s32(x_sums[i], 7) : vdupq_n_s32(0);
      unroll<4>([&](auto j)
                    ONNXLOCAL_INLINE { dots[i] = vdotq_laneq_s32(dots[i], quads[j], low, j); });
      unroll<4>([&](auto j) ONNXLOCAL_INLINE {
        dots[i] = vdotq_laneq_s32(dots[i], quads[4 + j], high, j);
      });
    });
  }
};

}  // namespace

const KernelTable kNeonDotKernels{.quantize_blocks = Kernels128<NeonDot>::quantize_blocks,
                                  .multiply_groups = multiply_groups_with<Kernels128<NeonDot>>};

}  // namespace onnxlocal::ep
