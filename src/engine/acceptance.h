#pragma once

#include <cstdint>

namespace onnxlocal {

/// How well one sequence's guesses do, and when it had better not guess for a while. Recent guesses
/// count most; a pause that was followed by failure is followed by one of twice the length. One
/// thread.
class Acceptance {
 public:
  /// The chance that the next guessed token is right.
  double rate() const;
  /// Of `drafted` tokens the first `accepted` were right.
  void record(std::uint32_t drafted, std::uint32_t accepted);

  bool is_paused() const { return pause_left_ > 0; }
  /// No guesses for a few tokens: they would not pay as things are, though they may be right.
  void rest();
  /// Tokens were generated: a pause is so much nearer its end.
  void generated(std::uint32_t tokens);

 private:
  double right_ = 0;
  double judged_ = 0;  ///< Guessed tokens that were looked at: up to the first wrong one.
  std::uint32_t pause_left_ = 0;
  std::uint32_t pause_tokens_ = 16;
};

}  // namespace onnxlocal
