#include "import/rope_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace onnxlocal {
namespace {

/// The pair whose wave turns `turns` times within the original window (llama.cpp's
/// ggml_rope_yarn_corr_dim).
double pair_with_turns(const RopeSettings& settings, std::uint32_t head_dim, double turns) {
  const double window = settings.original_context_tokens;
  return head_dim * std::log(window / (turns * 2 * std::numbers::pi)) /
         (2 * std::log(settings.base));
}

/// 1 where a pair keeps its own frequency (it turns often), 0 where the frequency is interpolated.
double kept_share(double low, double high, double pair) {
  const double along = (pair - low) / std::max(0.001, high - low);
  return 1.0 - std::clamp(along, 0.0, 1.0);
}

}  // namespace

RopeFrequencies rope_frequencies(const RopeSettings& settings, std::uint32_t head_dim) {
  RopeFrequencies result;
  const bool is_yarn = settings.scaling == RopeSettings::Scaling::kYarn;
  const double stretch = settings.scaling == RopeSettings::Scaling::kNone ? 1.0 : settings.factor;
  double low = 0;
  double high = 0;
  if (is_yarn) {
    low = std::max(0.0, std::floor(pair_with_turns(settings, head_dim, settings.beta_fast)));
    high = std::min(head_dim - 1.0,
                    std::ceil(pair_with_turns(settings, head_dim, settings.beta_slow)));
    result.magnitude = 1.0 + 0.1 * std::log(settings.factor);
  }
  result.magnitude *= settings.attention_factor;
  for (std::uint32_t pair = 0; pair < head_dim / 2; ++pair) {
    double frequency = std::pow(settings.base, -2.0 * pair / head_dim);
    if (!settings.pair_factors.empty()) frequency /= settings.pair_factors[pair];
    const double share = is_yarn ? kept_share(low, high, pair) : 0.0;
    result.radians_per_token.push_back(frequency / stretch * (1.0 - share) + frequency * share);
  }
  return result;
}

void rope_cosines(const RopeFrequencies& frequencies, std::uint64_t position,
                  std::span<float> cosines) {
  for (std::size_t pair = 0; pair < cosines.size(); ++pair) {
    const double angle = static_cast<double>(position) * frequencies.radians_per_token[pair];
    cosines[pair] = static_cast<float>(std::cos(angle) * frequencies.magnitude);
  }
}

void rope_sines(const RopeFrequencies& frequencies, std::uint64_t position,
                std::span<float> sines) {
  for (std::size_t pair = 0; pair < sines.size(); ++pair) {
    const double angle = static_cast<double>(position) * frequencies.radians_per_token[pair];
    sines[pair] = static_cast<float>(std::sin(angle) * frequencies.magnitude);
  }
}

}  // namespace onnxlocal
