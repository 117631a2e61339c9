#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "engine/constraint.h"
#include "engine/mask_stream.h"

namespace onnxlocal {

struct FakeConstraintOptions {
  std::uint32_t vocabulary_size = 300;
  std::uint64_t seed = 1;
  /// Called before each mask is computed, on the thread that does: may wait, to be late.
  std::function<void()> before_mask;
  /// After so many tokens nothing is allowed, or the mask or the commit fails.
  std::optional<std::size_t> nothing_after;
  std::optional<std::size_t> mask_fails_after;
  std::optional<std::size_t> commit_fails_after;
  std::vector<TokenId> always_allowed;
};

/// Allows about half of the tokens, another half after each prefix.
class FakeConstraint final : public TokenConstraint {
 public:
  explicit FakeConstraint(FakeConstraintOptions options = {}) : options_(std::move(options)) {}

  static bool allows(const FakeConstraintOptions& options, const std::vector<TokenId>& before,
                     TokenId token) {
    for (const TokenId allowed : options.always_allowed) {
      if (token == allowed) return true;
    }
    std::uint64_t hash = options.seed;
    for (const TokenId each : before) hash = mix(hash ^ static_cast<std::uint32_t>(each));
    return mix(hash + static_cast<std::uint32_t>(token)) % 2 == 0;
  }

  Result<std::vector<std::uint32_t>> mask() override {
    if (options_.before_mask) options_.before_mask();
    if (options_.mask_fails_after == committed_.size()) {
      return std::unexpected(invalid_request("the fake mask was told to fail"));
    }
    std::vector<std::uint32_t> words((options_.vocabulary_size + 31) / 32, 0);
    if (options_.nothing_after == committed_.size()) return words;
    for (std::uint32_t token = 0; token < options_.vocabulary_size; ++token) {
      const bool is_allowed = allows(options_, committed_, static_cast<TokenId>(token));
      words[token / 32] |= (is_allowed ? 1U : 0U) << (token % 32);
    }
    return words;
  }

  Result<void> commit(TokenId token) override {
    if (!allows(options_, committed_, token)) {
      return std::unexpected(internal_error("a token that the mask did not allow"));
    }
    committed_.push_back(token);
    if (options_.commit_fails_after == committed_.size()) {
      return std::unexpected(internal_error("the fake commit was told to fail"));
    }
    return {};
  }

 private:
  static std::uint64_t mix(std::uint64_t x) {
    x += 0x9E3779B97F4A7C15ULL;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    return x ^ (x >> 31);
  }

  const FakeConstraintOptions options_;
  std::vector<TokenId> committed_;
};

/// Mask jobs that run when the test says so. Outlives what its dispatch was given to.
class ManualMasks {
 public:
  MaskDispatch dispatch() {
    return [this](MaskJob job) { jobs_.push_back(std::move(job)); };
  }
  std::size_t waiting() const { return jobs_.size(); }
  void run_one() {
    MaskJob job = std::move(jobs_.front());
    jobs_.pop_front();
    job();
  }
  void run_all() {
    while (!jobs_.empty()) run_one();
  }

 private:
  std::deque<MaskJob> jobs_;
};

/// Masks that are there at once.
inline MaskDispatch masks_at_once() {
  return [](MaskJob job) { job(); };
}

}  // namespace onnxlocal
