// Plain C++: what the other sets are compared with.

#include <bit>
#include <cmath>
#include <cstring>

#include "cpu/number_formats.h"
#include "matrix/group_walk.h"
#include "matrix/kernel_table.h"
#include "matrix/quantize_block.h"

namespace onnxlocal::ep {

namespace {

void quantize_blocks(const QuantizeTask& task) {
  quantize_with(task, [](const float* block, const BlockSink& sink) {
    std::uint32_t largest = 0;
    for (std::size_t i = 0; i < kBlockColumns; ++i) {
      largest = std::max(largest, std::bit_cast<std::uint32_t>(block[i]) & 0x7fff'ffffU);
    }
    const BlockScale scale = block_scale(std::bit_cast<float>(largest));
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < kBlockColumns; ++i) {
      // Nearest even: the sum's last significand bit is worth 1.
      const float rounded = (block[i] * scale.inverse + 0x1.8p23F) - 0x1.8p23F;
      const auto value = scale.inverse == 0 ? 0 : static_cast<std::int32_t>(rounded);
      sink.values[i] = static_cast<std::int8_t>(value);
      sum += value;
    }
    sink.finish(scale.scale, sum);
  });
}

template <class T>
T load(const std::byte* from, std::size_t index) {
  T value{};
  std::memcpy(&value, from + sizeof(T) * index, sizeof(T));
  return value;
}

struct Portable {
  template <int kBits>
  static std::int32_t dot(const std::byte* quants, std::size_t lane, const std::byte* values) {
    std::int32_t sum = 0;
    for (std::size_t quad = 0; quad < 4; ++quad) {
      const std::byte* low = quants + 64 * quad + 4 * lane;
      for (std::size_t i = 0; i < 4; ++i) {
        const auto x_low = load<std::int8_t>(values, 4 * quad + i);
        const auto x_high = load<std::int8_t>(values, 16 + 4 * quad + i);
        if constexpr (kBits == 4) {
          const auto pair = static_cast<std::int32_t>(low[i]);
          sum += (pair & 15) * x_low + (pair >> 4) * x_high;
        } else {
          sum += static_cast<std::int32_t>(low[i]) * x_low +
                 static_cast<std::int32_t>(low[256 + i]) * x_high;
        }
      }
    }
    return sum;
  }

  template <int kBits, ZeroPoints kZeros>
  static float lane_sum(const TileTask& task, std::size_t lane, std::size_t row,
                        std::size_t height) {
    const ProductShape& shape = task.shape;
    float sum = 0;
    for (std::size_t term = 0; term < shape.blocks * shape.terms; ++term) {
      const std::size_t block = term / shape.terms;
      const RecordView<const std::byte> record{
          .data = task.rows + term * height * kRecordBytesPerRow, .height = height};
      const std::size_t index = (block >> shape.scale_shift) * MatrixFormat::kGroupRows + lane;
      std::int32_t product =
          dot<kBits>(task.group.quants + block * 64 * kBits, lane, record.values(row));
      const auto x_sum = load<std::int32_t>(record.sums(), row);
      if constexpr (kZeros == ZeroPoints::kSymmetric) {
        product -= (1 << (kBits - 1)) * x_sum;
      } else if constexpr (kZeros == ZeroPoints::kInteger) {
        product -= static_cast<std::int32_t>(task.group.zeros[index]) * x_sum;
      }
      const float scale = number_at(task.group.scales, index, shape.has_half_scales);
      sum += static_cast<float>(product) * load<float>(record.scales(), row) * scale;
      if constexpr (kZeros == ZeroPoints::kMinimum) {
        sum += number_at(task.group.zeros, index, shape.has_half_scales) *
               load<float>(record.scaled_sums(), row);
      }
    }
    return sum;
  }

  template <int kBits, ZeroPoints kZeros, int kRows>
  static void tile(const TileTask& task) {
    for (std::size_t row = 0; row < task.output.rows; ++row) {
      for (std::size_t lane = 0; lane < task.output.columns; ++lane) {
        const float sum = lane_sum<kBits, kZeros>(task, lane, row, kRows);
        const float bias = task.output.bias == nullptr ? 0.0F : task.output.bias[lane];
        task.output.out[row * task.output.stride + lane] =
            task.output.bias == nullptr ? sum : sum + bias;
      }
    }
  }
};

}  // namespace

const KernelTable kPortableKernels{.quantize_blocks = quantize_blocks,
                                   .multiply_groups = multiply_groups_with<Portable>};

}  // namespace onnxlocal::ep
