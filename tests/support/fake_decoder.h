#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "runtime/decoder.h"

namespace onnxlocal {

struct FakeDecoderOptions {
  std::uint32_t vocabulary_size = 300;
  std::uint32_t slots = 4;
  std::uint32_t slot_tokens_max = 256;
  std::uint32_t chunk_tokens_max = 64;
  StepMixing mixing = StepMixing::kChunkOrSingles;
  std::uint32_t block_tokens = 8;
  std::size_t kv_bytes_per_token = 8;
  std::uint64_t model_seed = 1;   ///< Another seed is another model.
  std::uint32_t pool_blocks = 0;  ///< Memory that all slots share, in blocks; 0: each has its own.
  /// Called at the start of each forward pass, on the engine's thread: may wait, to hold it there.
  std::function<void(std::span<const Step>)> before_forward;
  /// The most likely token after a prefix, in place of the hash's; empty where that stands.
  std::function<std::optional<TokenId>(std::span<const TokenId> prefix)> scripted_next;
};

/// What a test may look at while the decoder works elsewhere. Any thread.
struct FakeDecoderCounts {
  std::uint64_t forwards = 0;
  std::uint64_t tokens = 0;
  std::uint64_t imported_blocks = 0;
  std::uint64_t shared_blocks = 0;  ///< By `copy_prefix`, with a pool.
  std::uint64_t taken_back = 0;     ///< Tokens that `truncate` took from slots it did not empty.
  std::uint32_t widest_step = 0;    ///< Most tokens in one forward pass.
  std::uint32_t busiest_step = 0;   ///< Most slots in one forward pass.
  std::vector<std::string>
      violations;  ///< Broken REQUIRES of `Decoder`, wrong imports: must stay empty.
};

/// A decoder without a model: logits are a hash of the slot's tokens, so that the right
/// continuation of any prompt is known, and anything that leaks from one slot to another shows. Its
/// keys and values, exported, carry the prefix they belong to.
class FakeDecoder final : public Decoder {
 public:
  explicit FakeDecoder(FakeDecoderOptions options = {});

  const DecoderLimits& limits() const override { return limits_; }
  const KvLayout& layout() const override { return layout_; }
  Result<Logits> forward(std::span<const Step> steps) override;
  std::uint64_t free_tokens() const override;
  std::uint32_t length(SlotId slot) const override;
  void truncate(SlotId slot, std::uint32_t tokens) override;
  Result<void> copy_prefix(SlotId from, SlotId to, std::uint32_t tokens) override;
  Result<void> export_blocks(SlotId slot, std::uint32_t first_block,
                             std::span<std::byte> bytes) const override;
  Result<void> import_blocks(SlotId slot, std::span<const std::byte> bytes) override;

  /// The model: logits [vocabulary] after a prefix.
  std::vector<float> logits_after(std::span<const TokenId> prefix) const;
  TokenId greedy_next(std::span<const TokenId> prefix) const;
  /// The `count` tokens that greedy decoding gives after `prompt`.
  std::vector<TokenId> expected_greedy(std::span<const TokenId> prompt, std::size_t count) const;

  /// The n-th call from now on fails (1 is the next one). May be called several times.
  void fail_forward(std::uint64_t n);
  void fail_import(std::uint64_t n);
  void fail_export(std::uint64_t n);

  FakeDecoderCounts counts() const;

 private:
  enum class Call { kForward, kImport, kExport };
  bool must_fail(Call call) const;
  void plan_failure(Call call, std::uint64_t n);
  void violation(std::string what) const;
  void check_steps(std::span<const Step> steps) const;

  const FakeDecoderOptions options_;
  DecoderLimits limits_;
  KvLayout layout_;
  void resize_pages(SlotId slot);

  std::vector<std::vector<TokenId>> slots_;
  std::vector<std::vector<std::shared_ptr<int>>> pages_;  ///< [slot][page], with a pool.
  std::vector<float> logits_;

  // Guarded by mutex_.
  mutable std::mutex mutex_;
  mutable FakeDecoderCounts counts_;
  mutable std::uint64_t calls_[3] = {};
  mutable std::set<std::uint64_t> failures_[3];  ///< Numbers of calls that must fail.
};

}  // namespace onnxlocal
