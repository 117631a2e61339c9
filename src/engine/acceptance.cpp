#include "engine/acceptance.h"

#include <algorithm>

namespace onnxlocal {
namespace {

/// Below this rate guesses stop, however cheap.
constexpr double kRateMin = 0.2;
/// From this rate on past failures are forgiven.
constexpr double kRateGood = 0.5;
constexpr std::uint32_t kPauseMin = 16;
constexpr std::uint32_t kPauseMax = 512;
constexpr std::uint32_t kRest = 16;
/// Guesses that count; then older ones weigh half.
constexpr double kWindow = 24;
/// What is believed before anything is seen: one of two is right.
constexpr double kBeliefRight = 1;
constexpr double kBeliefJudged = 2;

}  // namespace

double Acceptance::rate() const { return (right_ + kBeliefRight) / (judged_ + kBeliefJudged); }

void Acceptance::record(std::uint32_t drafted, std::uint32_t accepted) {
  if (drafted == 0) return;
  right_ += accepted;
  judged_ += std::min(accepted + 1, drafted);
  if (judged_ > kWindow) {
    right_ /= 2;
    judged_ /= 2;
  }
  if (rate() >= kRateGood) pause_tokens_ = kPauseMin;
  if (rate() > kRateMin) return;
  pause_left_ = pause_tokens_;
  pause_tokens_ = std::min(2 * pause_tokens_, kPauseMax);
  // After the pause one failure is enough, and one success to go on.
  right_ = 0;
  judged_ = kBeliefJudged;
}

void Acceptance::rest() { pause_left_ = kRest; }

void Acceptance::generated(std::uint32_t tokens) { pause_left_ -= std::min(pause_left_, tokens); }

}  // namespace onnxlocal
