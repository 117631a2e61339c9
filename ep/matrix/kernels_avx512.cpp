// AVX-512 VNNI. Lanes are the 16 rows of a group; a dot product of four columns is one vpdpbusd of
// the weights (unsigned) with a broadcast dword of activations. What a result is made of, in this
// order for every tile height: product = float(dot) * x_scale; sum = fma(product, scale, sum); and
// for minima sum = fma(minimum, x_scale * x_sum, sum).

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the undefined operands inside its own intrinsics for mistakes (its bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include "cpu/unroll.h"
#include "matrix/group_walk.h"
#include "matrix/kernel_table.h"
#include "matrix/quantize_block.h"

namespace onnxlocal::ep {

namespace {

void quantize_blocks(const QuantizeTask& task) {
  quantize_with(task, [](const float* block, const BlockSink& sink) {
    const __m512 low = _mm512_loadu_ps(block);
    const __m512 high = _mm512_loadu_ps(block + 16);
    const __m512i magnitude = _mm512_set1_epi32(0x7fff'ffff);
    // As integers, NaNs are larger than infinity and infinity larger than all else.
    const __m512i largest =
        _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(low), magnitude),
                         _mm512_and_si512(_mm512_castps_si512(high), magnitude));
    const BlockScale scale = block_scale(_mm_cvtss_f32(
        _mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(_mm512_reduce_max_epu32(largest))))));
    const __m512 inverse = _mm512_set1_ps(scale.inverse);
    const __mmask16 keep = scale.inverse == 0 ? 0 : 0xffff;
    const __m512i a = _mm512_maskz_cvtps_epi32(keep, _mm512_mul_ps(low, inverse));
    const __m512i b = _mm512_maskz_cvtps_epi32(keep, _mm512_mul_ps(high, inverse));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(sink.values), _mm512_cvtepi32_epi8(a));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(sink.values + 16), _mm512_cvtepi32_epi8(b));
    sink.finish(scale.scale, _mm512_reduce_add_epi32(_mm512_add_epi32(a, b)));
  });
}

ONNXLOCAL_INLINE inline __m512i broadcast_int(const std::byte* from) {
  return _mm512_set1_epi32(*reinterpret_cast<const int*>(from));
}
ONNXLOCAL_INLINE inline __m512 broadcast_float(const std::byte* from) {
  return _mm512_set1_ps(*reinterpret_cast<const float*>(from));
}

/// sums += weights . the four values at `values`, for every lane. Compilers load the broadcast by
/// an instruction of its own; as an operand it leaves room for more products in flight (5 %
/// faster).
ONNXLOCAL_INLINE inline void add_dot(__m512i& sums, __m512i weights, const std::byte* values) {
  asm("vpdpbusd %2%{1to16%}, %1, %0"
      : "+v"(sums)
      : "v"(weights), "m"(*reinterpret_cast<const int*>(values)));
}

ONNXLOCAL_INLINE inline __m512 load_numbers(const std::byte* numbers, std::size_t index,
                                            bool is_half) {
  if (is_half) {
    return _mm512_cvtph_ps(
        _mm256_load_si256(reinterpret_cast<const __m256i*>(numbers + 32 * index)));
  }
  return _mm512_load_ps(numbers + 64 * index);
}

/// A block's weights, a vector for each four columns.
template <int kBits>
ONNXLOCAL_INLINE inline void load_weights(const std::byte* quants, __m512i (&weights)[8]) {
  if constexpr (kBits == 8) {
    unroll<8>([&](auto j) ONNXLOCAL_INLINE { weights[j] = _mm512_load_si512(quants + 64 * j); });
  } else {
    const __m512i nibble = _mm512_set1_epi8(15);
    unroll<4>([&](auto j) ONNXLOCAL_INLINE {
      const __m512i both = _mm512_load_si512(quants + 64 * j);
      weights[j] = _mm512_and_si512(both, nibble);
      weights[4 + j] = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    });
  }
}

/// The dot products of a block with kCount rows, from row kFirst of the tile on.
template <int kBits, ZeroPoints kZeros, int kRows, int kFirst, int kCount>
ONNXLOCAL_INLINE inline void dot_rows(const std::byte* record, const __m512i (&weights)[8],
                                      __m512i negative_zeros, __m512i (&dots)[kCount]) {
  const RecordView<const std::byte> view{.data = record, .height = kRows};
  unroll<kCount>([&](auto i) ONNXLOCAL_INLINE {
    constexpr int kRow = kFirst + i;
    if constexpr (kZeros == ZeroPoints::kSymmetric) {
      dots[i] = broadcast_int(view.starts() + 4 * kRow);
      if constexpr (kBits == 8) dots[i] = _mm512_slli_epi32(dots[i], 4);
    } else if constexpr (kZeros == ZeroPoints::kInteger) {
      dots[i] = _mm512_dpwssd_epi32(_mm512_setzero_si512(), negative_zeros,
                                    broadcast_int(view.sums() + 4 * kRow));
    } else {
      dots[i] = _mm512_setzero_si512();
    }
  });
  unroll<8>([&](auto j) ONNXLOCAL_INLINE {
    unroll<kCount>([&](auto i) ONNXLOCAL_INLINE {
      add_dot(dots[i], weights[j], view.values(kFirst + i) + 4 * j);
    });
  });
}

struct Avx512 {
  template <int kBits, ZeroPoints kZeros, int kRows>
  static void tile(const TileTask& task) {
    const ProductShape& shape = task.shape;
    __m512 sums[kRows];
    unroll<kRows>([&](auto i) ONNXLOCAL_INLINE { sums[i] = _mm512_setzero_ps(); });
    const std::byte* record = task.rows;
    for (std::size_t block = 0; block < shape.blocks; ++block) {
      fetch_ahead(task.ahead, block);
      __m512i weights[8];
      load_weights<kBits>(task.group.quants + block * 64 * kBits, weights);
      const std::size_t index = block >> shape.scale_shift;
      const __m512 scales = load_numbers(task.group.scales, index, shape.has_half_scales);
      __m512i negative_zeros = _mm512_setzero_si512();
      __m512 minima = _mm512_setzero_ps();
      if constexpr (kZeros == ZeroPoints::kInteger) {
        // The low half of each lane is -zero, the high half 0.
        const __m512i zeros = _mm512_cvtepu8_epi32(
            _mm_load_si128(reinterpret_cast<const __m128i*>(task.group.zeros + 16 * index)));
        negative_zeros = _mm512_and_si512(_mm512_sub_epi32(_mm512_setzero_si512(), zeros),
                                          _mm512_set1_epi32(0xffff));
      } else if constexpr (kZeros == ZeroPoints::kMinimum) {
        minima = load_numbers(task.group.zeros, index, shape.has_half_scales);
      }
      for (std::size_t term = 0; term < shape.terms; ++term) {
        add_record<kBits, kZeros, kRows>({.data = record, .height = kRows}, weights, scales,
                                         negative_zeros, minima, sums);
        record += kRows * kRecordBytesPerRow;
      }
    }
    store<kRows>(task.output, sums);
  }

  template <int kBits, ZeroPoints kZeros, int kRows>
  ONNXLOCAL_INLINE static void add_record(const RecordView<const std::byte>& view,
                                          const __m512i (&weights)[8], __m512 scales,
                                          __m512i negative_zeros, __m512 minima,
                                          __m512 (&sums)[kRows]) {
    // Eight rows at once hide the latency of vpdpbusd; all sums still stay in registers.
    constexpr int kAtOnce = kRows % 8 == 0 ? 8 : kRows == 12 ? 6 : kRows;
    unroll<kRows / kAtOnce>([&](auto part) ONNXLOCAL_INLINE {
      constexpr int kFirst = part * kAtOnce;
      __m512i dots[kAtOnce];
      dot_rows<kBits, kZeros, kRows, kFirst, kAtOnce>(view.data, weights, negative_zeros, dots);
      unroll<kAtOnce>([&](auto i) ONNXLOCAL_INLINE {
        constexpr int kRow = kFirst + i;
        const __m512 product =
            _mm512_mul_ps(_mm512_cvtepi32_ps(dots[i]), broadcast_float(view.scales() + 4 * kRow));
        sums[kRow] = _mm512_fmadd_ps(product, scales, sums[kRow]);
        if constexpr (kZeros == ZeroPoints::kMinimum) {
          sums[kRow] =
              _mm512_fmadd_ps(minima, broadcast_float(view.scaled_sums() + 4 * kRow), sums[kRow]);
        }
      });
    });
  }

  template <int kRows>
  ONNXLOCAL_INLINE static void store(const TileOutput& output, __m512 (&sums)[kRows]) {
    const auto mask = static_cast<__mmask16>((1U << output.columns) - 1U);
    if (output.bias != nullptr) {
      const __m512 bias = _mm512_maskz_loadu_ps(mask, output.bias);
      unroll<kRows>([&](auto i) ONNXLOCAL_INLINE { sums[i] = _mm512_add_ps(sums[i], bias); });
    }
    unroll<kRows>([&](auto i) ONNXLOCAL_INLINE {
      if (static_cast<std::size_t>(i) < output.rows) {
        _mm512_mask_storeu_ps(output.out + i * output.stride, mask, sums[i]);
      }
    });
  }
};

}  // namespace

const KernelTable kAvx512Kernels{.quantize_blocks = quantize_blocks,
                                 .multiply_groups = multiply_groups_with<Avx512>};

}  // namespace onnxlocal::ep
