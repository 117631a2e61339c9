#include "runtime/eight_bit.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>
#include <utility>

#include "base/check.h"

namespace onnxlocal {

namespace {

/// q8 = step * q + offset, with zero point `zero` on that scale.
struct Widening {
  int step = 1;
  int offset = 0;
  int zero = 0;
};

constexpr int kStepMax = 17;
constexpr int kLevelMax = 255;

struct LevelRange {
  int low = 15;
  int high = 0;
};

LevelRange range_of(std::span<const std::uint8_t> packed) {
  std::uint8_t low = 15;
  std::uint8_t high = 0;
  for (const std::uint8_t byte : packed) {
    const auto first = static_cast<std::uint8_t>(byte & 15U);
    const auto second = static_cast<std::uint8_t>(byte >> 4U);
    low = std::min({low, first, second});
    high = std::max({high, first, second});
  }
  return {low, high};
}

std::optional<Widening> best_widening(float zero_point, LevelRange range) {
  // Beyond this no step fits; it also keeps the conversion to int defined.
  constexpr float kZeroMax = 256.0F;
  if (!(std::abs(zero_point) <= kZeroMax)) return std::nullopt;
  std::optional<Widening> best;
  float best_error = 0;
  for (int step = kStepMax; step >= 1; --step) {
    const auto exact = zero_point * static_cast<float>(step);
    const int zero = static_cast<int>(std::nearbyint(exact));
    // The zero point and the levels that occur must all lie in [0, 255].
    const int offset_min = std::max(-zero, -step * range.low);
    const int offset_max = std::min(kLevelMax - zero, kLevelMax - step * range.high);
    if (offset_min > offset_max) continue;
    const float error = std::abs(exact - static_cast<float>(zero)) / static_cast<float>(step);
    if (best && error >= best_error) continue;
    const int offset = std::clamp(0, offset_min, offset_max);
    best = Widening{.step = step, .offset = offset, .zero = zero + offset};
    best_error = error;
  }
  return best;
}

void widen_exactly(std::span<const std::uint8_t> packed, const Widening& widening,
                   std::span<std::uint8_t> values) {
  // Modulo 256 the sums are right: each one that occurs lies in [0, 255].
  const auto step = static_cast<std::uint8_t>(widening.step);
  const auto offset = static_cast<std::uint8_t>(widening.offset);
  for (std::size_t i = 0; i < packed.size(); ++i) {
    values[2 * i] = static_cast<std::uint8_t>((packed[i] & 15U) * step + offset);
    values[2 * i + 1] = static_cast<std::uint8_t>((packed[i] >> 4U) * step + offset);
  }
}

/// Rounds over the block's own range and zero. Returns the scale and the zero point.
std::pair<float, std::uint8_t> widen_plainly(std::span<const std::uint8_t> packed, float scale,
                                             float zero_point, LevelRange range,
                                             std::span<std::uint8_t> values) {
  const float a = scale * (static_cast<float>(range.low) - zero_point);
  const float b = scale * (static_cast<float>(range.high) - zero_point);
  const float low = std::min({a, b, 0.0F});
  const float high = std::max({a, b, 0.0F});
  const float step = (high - low) / kLevelMax;
  const auto to_level = [](float x) {
    return static_cast<std::uint8_t>(std::clamp(std::nearbyint(x), 0.0F, 255.0F));
  };
  // A range that is not a number stays one in the scale; levels then do not matter.
  if (!(step > 0) || !std::isfinite(step)) {
    std::ranges::fill(values, std::uint8_t{0});
    return {step, 0};
  }
  const std::uint8_t zero = to_level(-low / step);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const unsigned q = i % 2 == 0 ? packed[i / 2] & 15U : packed[i / 2] >> 4U;
    const float weight = scale * (static_cast<float>(q) - zero_point);
    values[i] = to_level(weight / step + static_cast<float>(zero));
  }
  return {step, zero};
}

}  // namespace

void widen_blocks(const FourBitBlocks& from, std::size_t block_size, const EightBitBlocks& to) {
  const std::size_t blocks = from.scales.size();
  CHECK(block_size % 2 == 0 && from.packed.size() == blocks * block_size / 2);
  CHECK(from.zero_points.size() == blocks && to.values.size() == blocks * block_size);
  CHECK(to.scales.size() == blocks && to.zero_points.size() == blocks);
  for (std::size_t i = 0; i < blocks; ++i) {
    const auto packed = from.packed.subspan(i * block_size / 2, block_size / 2);
    const auto values = to.values.subspan(i * block_size, block_size);
    const LevelRange range = range_of(packed);
    if (const auto widening = best_widening(from.zero_points[i], range)) {
      widen_exactly(packed, *widening, values);
      to.scales[i] = from.scales[i] / static_cast<float>(widening->step);
      to.zero_points[i] = static_cast<std::uint8_t>(widening->zero);
    } else {
      std::tie(to.scales[i], to.zero_points[i]) =
          widen_plainly(packed, from.scales[i], from.zero_points[i], range, values);
    }
  }
}

}  // namespace onnxlocal
