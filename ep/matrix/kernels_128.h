#pragma once

// What the NEON sets share: the 16 rows of a group are four vectors of 4 lanes. Sums are made in
// the same order as everywhere: product = float(dot) * x_scale; sum = fma(product, scale, sum); and
// for minima sum = fma(minimum, x_scale * x_sum, sum).
//
// `Dot`, a type that each file keeps to itself, gives the dot products of a block with weights as
// they are stored (unsigned), for kCount rows that lie kBlockColumns apart:
//   template <int kBits, int kCount>
//   static void block(const uint8x16_t (&weights)[8], const std::byte* values,
//                     const int32x4_t (&x_sums)[kCount], int32x4_t (&dots)[kCount]);

#include <arm_neon.h>

#include "cpu/unroll.h"
#include "matrix/group_walk.h"
#include "matrix/quantize_block.h"

namespace onnxlocal::ep {

template <class Dot>
struct Kernels128 {
  static void quantize_blocks(const QuantizeTask& task) {
    quantize_with(task, [](const float* block, const BlockSink& sink) {
      float32x4_t values[8];
      uint32x4_t largest = vdupq_n_u32(0);
      unroll<8>([&](auto i) ONNXLOCAL_INLINE {
        values[i] = vld1q_f32(block + 4 * i);
        // As integers, NaNs are larger than infinity and infinity larger than all else.
        largest = vmaxq_u32(largest, vreinterpretq_u32_f32(vabsq_f32(values[i])));
      });
      const BlockScale scale =
          block_scale(vgetq_lane_f32(vreinterpretq_f32_u32(vdupq_n_u32(vmaxvq_u32(largest))), 0));
      const uint32x4_t keep = vdupq_n_u32(scale.inverse == 0 ? 0 : 0xffff'ffffU);
      int16x4_t rounded[8];
      int32x4_t sums = vdupq_n_s32(0);
      unroll<8>([&](auto i) ONNXLOCAL_INLINE {
        const int32x4_t whole = vcvtnq_s32_f32(vmulq_n_f32(values[i], scale.inverse));
        const int32x4_t kept = vreinterpretq_s32_u32(vandq_u32(keep, vreinterpretq_u32_s32(whole)));
        sums = vaddq_s32(sums, kept);
        rounded[i] = vmovn_s32(kept);
      });
      unroll<4>([&](auto i) ONNXLOCAL_INLINE {
        vst1_s8(sink.values + 8 * i, vmovn_s16(vcombine_s16(rounded[2 * i], rounded[2 * i + 1])));
      });
      sink.finish(scale.scale, vaddvq_s32(sums));
    });
  }

  template <int kBits, ZeroPoints kZeros, int kRows>
  static void tile(const TileTask& task) {
    constexpr int kAtOnce = kRows <= 4 ? kRows : kRows % 4 == 0 ? 4 : 3;
    for (int first = 0; first < kRows; first += kAtOnce) {
      pass<kBits, kZeros, kRows, kAtOnce>(task, first);
    }
  }

 private:
  ONNXLOCAL_INLINE static int32x4_t broadcast_int(const std::byte* from) {
    return vld1q_dup_s32(reinterpret_cast<const std::int32_t*>(from));
  }
  ONNXLOCAL_INLINE static float load_float(const std::byte* from) {
    return *reinterpret_cast<const float*>(from);
  }
  ONNXLOCAL_INLINE static float32x4_t load_numbers(const std::byte* numbers, std::size_t index,
                                                   int quarter, bool is_half_float) {
    if (is_half_float) {
      const auto* from = reinterpret_cast<const std::uint16_t*>(numbers + 32 * index + 8 * quarter);
      return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from)));
    }
    return vld1q_f32(reinterpret_cast<const float*>(numbers + 64 * index + 16 * quarter));
  }

  template <int kBits>
  ONNXLOCAL_INLINE static void load_weights(const std::byte* quants, uint8x16_t (&weights)[8]) {
    const auto load = [&](int j) ONNXLOCAL_INLINE {
      return vld1q_u8(reinterpret_cast<const std::uint8_t*>(quants + 64 * j));
    };
    if constexpr (kBits == 8) {
      unroll<8>([&](auto j) ONNXLOCAL_INLINE { weights[j] = load(j); });
    } else {
      unroll<4>([&](auto j) ONNXLOCAL_INLINE {
        const uint8x16_t both = load(j);
        weights[j] = vandq_u8(both, vdupq_n_u8(15));
        weights[4 + j] = vshrq_n_u8(both, 4);
      });
    }
  }

  /// kCount rows from row `first` of the tile on.
  template <int kBits, ZeroPoints kZeros, int kRows, int kCount>
  static void pass(const TileTask& task, int first) {
    const ProductShape& shape = task.shape;
    float32x4_t sums[4][kCount];
    unroll<4>([&](auto q) ONNXLOCAL_INLINE {
      unroll<kCount>([&](auto i) ONNXLOCAL_INLINE { sums[q][i] = vdupq_n_f32(0); });
    });
    for (std::size_t term = 0; term < shape.blocks * shape.terms; ++term) {
      const std::size_t block = shape.terms == 1 ? term : term / shape.terms;
      const std::size_t index = block >> shape.scale_shift;
      const RecordView<const std::byte> view{.data = task.rows + term * kRows * kRecordBytesPerRow,
                                             .height = kRows};
      int32x4_t x_sums[kCount];
      unroll<kCount>([&](auto i) ONNXLOCAL_INLINE {
        x_sums[i] = broadcast_int(view.sums() + 4 * (first + i));
      });
      unroll<4>([&](auto q) ONNXLOCAL_INLINE {
        uint8x16_t weights[8];
        load_weights<kBits>(task.group.quants + block * 64 * kBits + 16 * q, weights);
        const float32x4_t scales = load_numbers(task.group.scales, index, q, shape.has_half_scales);
        int32x4_t dots[kCount];
        Dot::template block<kBits, kCount>(weights, view.values(static_cast<std::size_t>(first)),
                                           x_sums, dots);
        int32x4_t zeros = vdupq_n_s32(1 << (kBits - 1));
        float32x4_t minima = vdupq_n_f32(0);
        if constexpr (kZeros == ZeroPoints::kInteger) {
          std::uint32_t four = 0;
          __builtin_memcpy(&four, task.group.zeros + 16 * index + 4 * q, 4);
          const uint16x8_t wide = vmovl_u8(vcreate_u8(four));
          zeros = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(wide)));
        } else if constexpr (kZeros == ZeroPoints::kMinimum) {
          minima = load_numbers(task.group.zeros, index, q, shape.has_half_scales);
        }
        unroll<kCount>([&](auto i) ONNXLOCAL_INLINE {
          const int row = first + i;
          int32x4_t dot = dots[i];
          if constexpr (kZeros != ZeroPoints::kMinimum) dot = vmlsq_s32(dot, zeros, x_sums[i]);
          const float32x4_t product =
              vmulq_n_f32(vcvtq_f32_s32(dot), load_float(view.scales() + 4 * row));
          sums[q][i] = vfmaq_f32(sums[q][i], product, scales);
          if constexpr (kZeros == ZeroPoints::kMinimum) {
            sums[q][i] = vfmaq_n_f32(sums[q][i], minima, load_float(view.scaled_sums() + 4 * row));
          }
        });
      });
    }
    unroll<4>([&](auto q) ONNXLOCAL_INLINE {
      unroll<kCount>([&](auto i) ONNXLOCAL_INLINE {
        store(task.output, static_cast<std::size_t>(first + i), 4 * q, sums[q][i]);
      });
    });
  }

  static void store(const TileOutput& output, std::size_t row, std::size_t column,
                    float32x4_t sums) {
    if (row >= output.rows || column >= output.columns) return;
    float* out = output.out + row * output.stride + column;
    const std::size_t count = output.columns - column;
    if (count >= 4) {
      if (output.bias != nullptr) sums = vaddq_f32(sums, vld1q_f32(output.bias + column));
      vst1q_f32(out, sums);
      return;
    }
    float values[4];
    vst1q_f32(values, sums);
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = output.bias == nullptr ? values[i] : values[i] + output.bias[column + i];
    }
  }
};

}  // namespace onnxlocal::ep
