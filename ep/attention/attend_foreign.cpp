#include <algorithm>

#include "attention/attention_run.h"

namespace onnxlocal::ep {

namespace {

/// Packs each split as pages hold it, so that the inner loops and their results are the same.
class ForeignTiles {
 public:
  ForeignTiles(const AttentionKernels& kernels, const AttentionShape& shape,
               std::span<const ForeignSequence> sequences)
      : kernels_(kernels),
        append_(kernels.over(shape.kv_type).append),
        sequences_(sequences),
        tile_bytes_(tile_bytes(shape)),
        head_dim_(shape.head_dim) {}

  std::size_t pack_bytes() const { return kSplitPages * tile_bytes_ + 2 * widened_bytes(); }
  void find(const RowBlock& block, std::uint32_t split, PageRange pages, SplitTiles& tiles,
            std::byte* pack) const {
    const ForeignSequence& sequence = sequences_[block.sequence];
    const std::uint32_t end = block.range.past + block.range.rows;
    auto* const widened = reinterpret_cast<float*>(pack + kSplitPages * tile_bytes_);
    for (std::uint32_t page = pages.first; page < pages.last; ++page) {
      std::byte* const tile = pack + page * tile_bytes_;
      tiles[page] = tile;
      const std::uint32_t first = split * kSplitTokens + page * kPageTokens;
      pack_page(sequence.cache, block.kv_head,
                {.first = first, .last = std::min(first + kPageTokens, end)}, tile, widened);
    }
  }
  /// What is packed is in the cache already.
  static const std::byte* next(const RowBlock& /*block*/, std::uint32_t /*split*/) {
    return nullptr;
  }

 private:
  struct Tokens {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
  };
  std::size_t widened_bytes() const { return kPageTokens * head_dim_ * sizeof(float); }

  /// Bytes from the cache's start to a token's row of a head.
  static std::size_t offset_of(const ForeignCache& cache, std::uint32_t kv_head,
                               std::uint32_t token) {
    std::size_t block = 0;
    if (cache.block_tokens != 0) {
      block = token / cache.block_tokens;
      token %= cache.block_tokens;
    }
    if (cache.blocks != nullptr) block = static_cast<std::size_t>(cache.blocks[block]);
    return block * cache.block_stride + kv_head * cache.head_stride + token * cache.token_stride;
  }

  void pack_page(const ForeignCache& cache, std::uint32_t kv_head, Tokens tokens, std::byte* tile,
                 float* widened) const {
    while (tokens.first < tokens.last) {
      std::uint32_t count = tokens.last - tokens.first;
      if (cache.block_tokens != 0) {
        count = std::min(count, cache.block_tokens - tokens.first % cache.block_tokens);
      }
      const std::size_t offset = offset_of(cache, kv_head, tokens.first);
      AppendTask task{.tokens = count,
                      .first_slot = tokens.first % kPageTokens,
                      .head_dim = head_dim_,
                      .tile = tile};
      if (cache.type == ForeignCache::Number::kFloat32) {
        task.keys = reinterpret_cast<const float*>(cache.keys + offset);
        task.values = reinterpret_cast<const float*>(cache.values + offset);
        task.key_stride = task.value_stride = cache.token_stride / sizeof(float);
      } else {
        float* const values = widened + kPageTokens * head_dim_;
        widen(cache, cache.keys + offset, count, widened);
        widen(cache, cache.values + offset, count, values);
        task.keys = widened;
        task.values = values;
        task.key_stride = task.value_stride = head_dim_;
      }
      append_(task);
      tokens.first += count;
    }
  }

  void widen(const ForeignCache& cache, const std::byte* from, std::uint32_t tokens,
             float* to) const {
    for (std::uint32_t i = 0; i < tokens; ++i, from += cache.token_stride, to += head_dim_) {
      const auto* const numbers = reinterpret_cast<const std::uint16_t*>(from);
      if (cache.type == ForeignCache::Number::kFloat16) {
        kernels_.widen_f16(numbers, head_dim_, to);
      } else {
        kernels_.widen_bf16(numbers, head_dim_, to);
      }
    }
  }

  const AttentionKernels& kernels_;
  void (*append_)(const AppendTask& task);
  std::span<const ForeignSequence> sequences_;
  std::size_t tile_bytes_;
  std::uint32_t head_dim_;
};

}  // namespace

void attend_foreign(const AttentionKernels& kernels, Parallel& parallel,
                    const AttentionShape& shape, std::span<const ForeignSequence> sequences,
                    ConstRows q, const Rows& out, std::vector<std::byte>& scratch) {
  const ForeignTiles source(kernels, shape, sequences);
  attend_over(source, sequences,
              {.kernels = kernels,
               .parallel = parallel,
               .shape = shape,
               .q = q,
               .out = out,
               .scratch = scratch});
}

}  // namespace onnxlocal::ep
