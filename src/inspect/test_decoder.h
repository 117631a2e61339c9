#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "runtime/decoder.h"

namespace onnxlocal {

/// For this folder's tests: a decoder that always finds the token after the last one (`t + 1`) the
/// most likely, by a known margin, and writes down what it was asked.
class CountingDecoder : public Decoder {
 public:
  static constexpr std::uint32_t kVocabulary = 8;
  /// Logit of the most likely token; the others have 0.
  float margin = 0;
  std::uint32_t rows = 0;
  std::uint32_t forwards = 0;
  std::uint32_t widest_step = 0;      ///< Steps in one call.
  std::vector<TokenId> first_tokens;  ///< What each empty slot was begun with.

  CountingDecoder(std::uint32_t slots, std::uint32_t slot_tokens_max,
                  std::uint32_t chunk_tokens_max)
      : lengths_(slots) {
    limits_.vocabulary_size = kVocabulary;
    limits_.slots = slots;
    limits_.slot_tokens_max = slot_tokens_max;
    limits_.chunk_tokens_max = chunk_tokens_max;
  }

  const DecoderLimits& limits() const override { return limits_; }
  const KvLayout& layout() const override { return layout_; }

  Result<Logits> forward(std::span<const Step> steps) override {
    values_.clear();
    ++forwards;
    widest_step = std::max(widest_step, static_cast<std::uint32_t>(steps.size()));
    for (const Step& step : steps) {
      std::uint32_t& length = lengths_.at(step.slot.value);
      if (length == 0) first_tokens.push_back(step.tokens.front());
      length += static_cast<std::uint32_t>(step.tokens.size());
      if (length > limits_.slot_tokens_max || step.tokens.size() > limits_.chunk_tokens_max) {
        return std::unexpected(internal_error("the step breaks the limits"));
      }
      if (step.logits == LogitsWanted::kLast) add_row(step.tokens.back());
      if (step.logits == LogitsWanted::kAll) {
        for (const TokenId token : step.tokens) add_row(token);
      }
    }
    const auto count = static_cast<std::uint32_t>(values_.size() / kVocabulary);
    rows += count;
    return Logits{values_, count};
  }

  std::uint32_t length(SlotId slot) const override { return lengths_.at(slot.value); }
  void truncate(SlotId slot, std::uint32_t tokens) override { lengths_.at(slot.value) = tokens; }
  Result<void> copy_prefix(SlotId, SlotId to, std::uint32_t tokens) override {
    lengths_.at(to.value) = tokens;
    return {};
  }
  Result<void> export_blocks(SlotId, std::uint32_t, std::span<std::byte>) const override {
    return std::unexpected(unsupported("no blocks here"));
  }
  Result<void> import_blocks(SlotId, std::span<const std::byte>) override {
    return std::unexpected(unsupported("no blocks here"));
  }

 private:
  void add_row(TokenId token) {
    const std::size_t start = values_.size();
    values_.resize(start + kVocabulary, 0.0F);
    values_[start + static_cast<std::size_t>(token + 1) % kVocabulary] = margin;
  }

  DecoderLimits limits_;
  KvLayout layout_;
  std::vector<std::uint32_t> lengths_;
  std::vector<float> values_;
};

}  // namespace onnxlocal
