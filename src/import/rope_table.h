#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace onnxlocal {

/// How positions become rotation angles.
struct RopeSettings {
  enum class Scaling { kNone, kLinear, kYarn };

  double base = 10000.0;
  Scaling scaling = Scaling::kNone;
  double factor = 1.0;  ///< Linear and YaRN: how many times the window was stretched.
  /// Llama 3: the frequency of each pair is divided by this; empty is all ones.
  std::vector<float> pair_factors = {};
  // YaRN (Peng 2023), with llama.cpp's names and defaults.
  std::uint32_t original_context_tokens = 0;
  double attention_factor = 1.0;
  double beta_fast = 32.0;
  double beta_slow = 1.0;
};

/// Frequencies of the rotation for each of the head_dim / 2 pairs, and what both sine and cosine
/// are multiplied by.
struct RopeFrequencies {
  std::vector<double> radians_per_token;
  double magnitude = 1.0;
};
RopeFrequencies rope_frequencies(const RopeSettings& settings, std::uint32_t head_dim);

/// One row of the tables: the angles' cosines and sines at `position`.
void rope_cosines(const RopeFrequencies& frequencies, std::uint64_t position,
                  std::span<float> cosines);
void rope_sines(const RopeFrequencies& frequencies, std::uint64_t position, std::span<float> sines);

}  // namespace onnxlocal
