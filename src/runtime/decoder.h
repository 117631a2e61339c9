#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "base/strong_id.h"
#include "generation/token.h"

namespace onnxlocal {

struct SlotTag;
/// A place for one sequence's keys and values: 0 up to `DecoderLimits::slots - 1`.
using SlotId = StrongId<SlotTag, std::uint32_t>;

enum class LogitsWanted { kNone, kLast, kAll };

/// The next tokens of one slot: positions [length(slot), length(slot) + tokens.size()).
struct Step {
  SlotId slot;
  std::span<const TokenId> tokens;  ///< At least one; valid during the call.
  LogitsWanted logits = LogitsWanted::kLast;
};

/// Logits in the order of the steps, kNone steps left out: [rows, vocabulary_size] float32.
struct Logits {
  std::span<const float> values;
  std::uint32_t rows = 0;
  std::span<const float> row(std::uint32_t index) const {
    const std::size_t width = values.size() / rows;
    return values.subspan(index * width, width);
  }
};

/// What one `forward` may hold.
enum class StepMixing {
  kChunkOrSingles,  ///< One slot's chunk, or any number of slots with one token each.
  kRagged,          ///< Any mixture in one pass over the weights; the same bits in any company.
};

struct DecoderLimits {
  std::uint32_t vocabulary_size = 0;
  std::uint32_t slots = 0;
  std::uint32_t slot_tokens_max = 0;  ///< Capacity of a slot: the context window in use.
  /// Most tokens of a chunk. kRagged: most tokens of all steps in one `forward`; at least `slots`,
  /// so that every slot can decode.
  std::uint32_t chunk_tokens_max = 0;
  StepMixing mixing = StepMixing::kChunkOrSingles;
  std::size_t kv_bytes_per_token = 0;
};

/// How keys and values look when they leave the decoder. Blocks of equal `layout_id` fit.
struct KvLayout {
  std::string layout_id;
  std::uint32_t block_tokens = 0;
  std::size_t block_bytes = 0;
};

/// Runs a model over slots that hold key/value state. Engine thread only.
/// A result depends on its own slot's tokens alone, never on the rest of the batch.
class Decoder {
 public:
  virtual ~Decoder() = default;

  virtual const DecoderLimits& limits() const = 0;
  virtual const KvLayout& layout() const = 0;

  /// Runs one batch of steps and appends their keys and values to the slots.
  ///   REQUIRES: the steps keep `limits()`; slots are distinct and have room.
  ///   returns:  logits [rows, vocabulary_size], valid until the next call
  ///   errors:   internal (the execution provider failed; the slots named in `steps` are then
  ///   empty)
  virtual Result<Logits> forward(std::span<const Step> steps) = 0;

  /// Tokens that all slots together have room for, where they share one memory: what is free, in
  /// whole pages of `layout().block_tokens`. A page that several slots hold counts once, and a slot
  /// fills its last page before it takes another. kNoSharedLimit where each slot has its own room.
  static constexpr std::uint64_t kNoSharedLimit = ~std::uint64_t{0};
  virtual std::uint64_t free_tokens() const { return kNoSharedLimit; }

  /// Tokens whose keys and values the slot holds.
  virtual std::uint32_t length(SlotId slot) const = 0;
  /// Keeps the first `tokens` of the slot. 0 empties it and gives its memory back.
  virtual void truncate(SlotId slot, std::uint32_t tokens) = 0;
  /// Makes `to` (empty before) begin with the first `tokens` of `from`. Where slots share one
  /// memory, whole blocks are shared by reference and take no room.
  virtual Result<void> copy_prefix(SlotId from, SlotId to, std::uint32_t tokens) = 0;

  /// Copies whole blocks [first_block, first_block + bytes.size() / block_bytes) out of a slot.
  ///   REQUIRES: the slot holds them.
  virtual Result<void> export_blocks(SlotId slot, std::uint32_t first_block,
                                     std::span<std::byte> bytes) const = 0;
  /// Appends whole blocks to a slot whose length is a whole number of blocks. After an error,
  /// `truncate` to the length before brings back what the slot held.
  virtual Result<void> import_blocks(SlotId slot, std::span<const std::byte> bytes) = 0;
};

}  // namespace onnxlocal
