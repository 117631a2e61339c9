#pragma once

// What AVX2 and AVX-VNNI share: the 16 rows of a group are two vectors of 8 lanes. Sums are made in
// the same order as everywhere: product = float(dot) * x_scale; sum = fma(product, scale, sum); and
// for minima sum = fma(minimum, x_scale * x_sum, sum).
//
// `Dot`, a type that each file keeps to itself, gives the dot products of a block:
//   template <int kBits>
//   static __m256i block(const __m256i (&weights)[8], const std::byte* values);

#include <immintrin.h>

#include "cpu/unroll.h"
#include "matrix/group_walk.h"
#include "matrix/quantize_block.h"

namespace onnxlocal::ep {

template <class Dot>
struct Kernels256 {
  static void quantize_blocks(const QuantizeTask& task) {
    quantize_with(task, [](const float* block, const BlockSink& sink) {
      const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fff'ffff));
      __m256 values[4];
      __m256i largest = _mm256_setzero_si256();
      unroll<4>([&](auto i) ONNXLOCAL_INLINE {
        values[i] = _mm256_loadu_ps(block + 8 * i);
        // As integers, NaNs are larger than infinity and infinity larger than all else.
        largest =
            _mm256_max_epu32(largest, _mm256_castps_si256(_mm256_and_ps(values[i], magnitude)));
      });
      const BlockScale scale = block_scale(largest_lane(largest));
      const __m256 inverse = _mm256_set1_ps(scale.inverse);
      const __m256i keep = _mm256_set1_epi32(scale.inverse == 0 ? 0 : -1);
      __m256i rounded[4];
      unroll<4>([&](auto i) ONNXLOCAL_INLINE {
        rounded[i] = _mm256_and_si256(keep, _mm256_cvtps_epi32(_mm256_mul_ps(values[i], inverse)));
      });
      const __m256i low = _mm256_packs_epi32(rounded[0], rounded[1]);
      const __m256i high = _mm256_packs_epi32(rounded[2], rounded[3]);
      // Packing works within halves of 128 bits: dwords 0, 4, 1, 5, ... are the order again.
      const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high),
                                                        _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(sink.values), bytes);
      const __m256i sums = _mm256_add_epi32(_mm256_add_epi32(rounded[0], rounded[1]),
                                            _mm256_add_epi32(rounded[2], rounded[3]));
      sink.finish(scale.scale, sum_of_lanes(sums));
    });
  }

  template <int kBits, ZeroPoints kZeros, int kRows>
  static void tile(const TileTask& task) {
    // Sums and weights together fit 16 registers for up to six vectors of sums.
    if constexpr (kRows <= 3) {
      pass<kBits, kZeros, kRows, kRows, 2>(task, 0, 0);
    } else {
      constexpr int kAtOnce = kRows % 4 == 0 ? 4 : 3;
      for (int first = 0; first < kRows; first += kAtOnce) {
        pass<kBits, kZeros, kRows, kAtOnce, 1>(task, first, 0);
        pass<kBits, kZeros, kRows, kAtOnce, 1>(task, first, 1);
      }
    }
  }

 private:
  static float largest_lane(__m256i lanes) {
    __m128i four = _mm_max_epu32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
    four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0xb1));
    return _mm_cvtss_f32(_mm_castsi128_ps(four));
  }
  static int sum_of_lanes(__m256i lanes) {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return _mm_cvtsi128_si32(four);
  }
  ONNXLOCAL_INLINE static __m256i broadcast_int(const std::byte* from) {
    return _mm256_set1_epi32(*reinterpret_cast<const int*>(from));
  }
  ONNXLOCAL_INLINE static __m256 broadcast_float(const std::byte* from) {
    return _mm256_broadcast_ss(reinterpret_cast<const float*>(from));
  }

  ONNXLOCAL_INLINE static __m256 load_numbers(const std::byte* numbers, std::size_t index, int half,
                                              bool is_half_float) {
    if (is_half_float) {
      const auto* from = reinterpret_cast<const __m128i*>(numbers + 32 * index + 16 * half);
      return _mm256_cvtph_ps(_mm_load_si128(from));
    }
    return _mm256_load_ps(reinterpret_cast<const float*>(numbers + 64 * index + 32 * half));
  }

  template <int kBits>
  ONNXLOCAL_INLINE static void load_weights(const std::byte* quants, __m256i (&weights)[8]) {
    const auto load = [&](int j) ONNXLOCAL_INLINE {
      return _mm256_load_si256(reinterpret_cast<const __m256i*>(quants + 64 * j));
    };
    if constexpr (kBits == 8) {
      unroll<8>([&](auto j) ONNXLOCAL_INLINE { weights[j] = load(j); });
    } else {
      const __m256i nibble = _mm256_set1_epi8(15);
      unroll<4>([&](auto j) ONNXLOCAL_INLINE {
        const __m256i both = load(j);
        weights[j] = _mm256_and_si256(both, nibble);
        weights[4 + j] = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
      });
    }
  }

  /// Where the dot product of a row starts, or what is added to it.
  template <int kBits, ZeroPoints kZeros>
  ONNXLOCAL_INLINE static __m256i correction(const RecordView<const std::byte>& view, int row,
                                             __m256i zeros) {
    if constexpr (kZeros == ZeroPoints::kSymmetric) {
      const __m256i start = broadcast_int(view.starts() + 4 * row);
      return kBits == 4 ? start : _mm256_slli_epi32(start, 4);
    } else if constexpr (kZeros == ZeroPoints::kInteger) {
      const __m256i shift = _mm256_madd_epi16(zeros, broadcast_int(view.sums() + 4 * row));
      return _mm256_sub_epi32(_mm256_setzero_si256(), shift);
    } else {
      return _mm256_setzero_si256();
    }
  }

  /// kCount rows from row `first` of the tile on, and kHalves halves of the group from `half` on.
  template <int kBits, ZeroPoints kZeros, int kRows, int kCount, int kHalves>
  static void pass(const TileTask& task, int first, int half) {
    const ProductShape& shape = task.shape;
    const bool is_first = first == 0 && half == 0;
    __m256 sums[kHalves * kCount];
    unroll<kHalves * kCount>([&](auto i) ONNXLOCAL_INLINE { sums[i] = _mm256_setzero_ps(); });
    for (std::size_t block = 0; block < shape.blocks; ++block) {
      if (is_first) fetch_ahead(task.ahead, block);
      const std::size_t index = block >> shape.scale_shift;
      unroll<kHalves>([&](auto h) ONNXLOCAL_INLINE {
        const int at = half + h;
        __m256i weights[8];
        load_weights<kBits>(task.group.quants + block * 64 * kBits + 32 * at, weights);
        const __m256 scales = load_numbers(task.group.scales, index, at, shape.has_half_scales);
        __m256i zeros = _mm256_setzero_si256();
        __m256 minima = _mm256_setzero_ps();
        if constexpr (kZeros == ZeroPoints::kInteger) {
          zeros = _mm256_cvtepu8_epi32(_mm_loadl_epi64(
              reinterpret_cast<const __m128i*>(task.group.zeros + 16 * index + 8 * at)));
        } else if constexpr (kZeros == ZeroPoints::kMinimum) {
          minima = load_numbers(task.group.zeros, index, at, shape.has_half_scales);
        }
        const std::byte* record = task.rows + block * shape.terms * kRows * kRecordBytesPerRow;
        for (std::size_t term = 0; term < shape.terms; ++term) {
          const RecordView<const std::byte> view{.data = record, .height = kRows};
          record += kRows * kRecordBytesPerRow;
          unroll<kCount>([&](auto i) ONNXLOCAL_INLINE {
            const int row = first + i;
            const __m256i dot = _mm256_add_epi32(
                correction<kBits, kZeros>(view, row, zeros),
                Dot::template block<kBits>(weights, view.values(static_cast<std::size_t>(row))));
            const __m256 product =
                _mm256_mul_ps(_mm256_cvtepi32_ps(dot), broadcast_float(view.scales() + 4 * row));
            __m256& sum = sums[h * kCount + i];
            sum = _mm256_fmadd_ps(product, scales, sum);
            if constexpr (kZeros == ZeroPoints::kMinimum) {
              sum = _mm256_fmadd_ps(minima, broadcast_float(view.scaled_sums() + 4 * row), sum);
            }
          });
        }
      });
    }
    unroll<kHalves>([&](auto h) ONNXLOCAL_INLINE {
      unroll<kCount>([&](auto i) ONNXLOCAL_INLINE {
        store(task.output, static_cast<std::size_t>(first + i),
              static_cast<std::size_t>(half + h) * 8, sums[h * kCount + i]);
      });
    });
  }

  static void store(const TileOutput& output, std::size_t row, std::size_t column, __m256 sums) {
    if (row >= output.rows || column >= output.columns) return;
    float* out = output.out + row * output.stride + column;
    const std::size_t count = output.columns - column;
    if (count >= 8) {
      if (output.bias != nullptr) {
        sums = _mm256_add_ps(sums, _mm256_loadu_ps(output.bias + column));
      }
      _mm256_storeu_ps(out, sums);
      return;
    }
    alignas(32) float values[8];
    _mm256_store_ps(values, sums);
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = output.bias == nullptr ? values[i] : values[i] + output.bias[column + i];
    }
  }
};

}  // namespace onnxlocal::ep
