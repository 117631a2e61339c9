#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "generation/event.h"
#include "generation/sampling.h"
#include "generation/token.h"

namespace onnxlocal {

/// A token and how it ranks: by weight, the lower id first where weights are equal.
struct Candidate {
  float weight = 0;
  TokenId token = 0;
  friend bool operator==(const Candidate&, const Candidate&) = default;
};

/// Working memory of `Sampler::choose`, shared by all sequences of one thread.
struct SamplerScratch {
  std::vector<float> adjusted;     ///< [vocabulary] logits after bias and penalties
  std::vector<float> weights;      ///< [vocabulary] exp((logit - best) / temperature)
  std::vector<double> block_sums;  ///< [vocabulary / block] sums of `weights`
  std::vector<Candidate> candidates;
  std::vector<Candidate> selection;
};

/// `options` are in their ranges (generation/sampling.h) and name tokens below `vocabulary_size`.
/// Errors: invalid_request, naming the field.
Result<void> validate_sampling(const SamplingOptions& options, std::uint32_t vocabulary_size);

/// Chooses the tokens of one generation. A choice depends on the logits, the options, the seed and
/// how many tokens were chosen before, and on nothing else: random numbers are a hash of seed and
/// position (counter-based, as in Salmon et al. 2011), not a stream that others could advance.
/// Nothing is sorted in full; top_p finds its edge by a quickselect over mass. One thread.
class Sampler {
 public:
  ///   REQUIRES: `validate_sampling` passed. `seed` takes the place of an empty `options.seed`.
  Sampler(const SamplingOptions& options, std::uint64_t seed, std::span<const TokenId> prompt);

  /// The next token for `logits` [vocabulary], among those that `mask` allows (as
  /// `TokenConstraint::mask`; empty: all). Log-probabilities are the model's, whatever the mask.
  /// Errors: internal (a logit is NaN or +infinity, or no token is left; a logit of -infinity alone
  /// is a token that cannot come).
  Result<TokenReport> choose(std::span<const float> logits, SamplerScratch& scratch,
                             std::span<const std::uint32_t> mask = {});

  /// What `choose` would choose from `logits` once `ahead` more tokens are chosen, were it not for
  /// what those change in penalties: another model's guess. Errors: as `choose`.
  Result<TokenId> guess(std::span<const float> logits, std::uint64_t ahead,
                        SamplerScratch& scratch) const;

 private:
  struct Past {
    std::uint32_t in_output = 0;
    bool in_prompt = false;
  };
  bool has_penalties() const;
  bool adjusts_logits() const { return has_penalties() || !options_.logit_bias.empty(); }
  void adjust(std::span<float> logits) const;
  Result<TokenId> pick(std::span<const float> logits, float own_best, std::uint64_t position,
                       SamplerScratch& scratch, std::span<const std::uint32_t> mask) const;
  TokenId draw(std::span<const float> logits, float best, double share,
               SamplerScratch& scratch) const;

  SamplingOptions options_;
  std::uint64_t seed_;
  std::uint64_t chosen_ = 0;                ///< Tokens so far.
  std::unordered_map<TokenId, Past> past_;  ///< Only where penalties are on.
};

/// The `count` first of `values` in rank order. O(size + count log count log(size / count)).
void select_top(std::span<const float> values, std::size_t count, std::vector<Candidate>& top);

/// The last-ranked member of the smallest best-ranked subset of `candidates` whose weights sum to
/// `mass` or more. Reorders `candidates` (at least one). Expected linear time.
Candidate nucleus_edge(std::span<Candidate> candidates, double mass);

}  // namespace onnxlocal
