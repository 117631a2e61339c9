#pragma once

#include <cstddef>
#include <cstdint>

#include "attention/attention.h"

namespace onnxlocal::ep {

inline constexpr std::uint32_t kHeadDimMax = 256;
inline constexpr std::uint32_t kSplitPages = kSplitTokens / kPageTokens;
/// Rows that are taken together through scores, softmax and values: what stays in the first-level
/// cache.
inline constexpr std::uint32_t kTileRows = 12;
/// A head's keys and values in one page.
inline std::size_t tile_bytes(const AttentionShape& shape) {
  constexpr std::size_t kScaleBytes = 2 * kPageTokens * sizeof(float);
  const std::size_t numbers = std::size_t{2} * kPageTokens * shape.head_dim;
  return shape.kv_type == KvType::kInt8 ? kScaleBytes + numbers : numbers * sizeof(std::uint16_t);
}

/// Results of some rows over some of their keys: out is the sum of p * v with p = 2^(s - maximum),
/// sum the sum of those p. A row that has seen no key has sum 0; its other numbers mean nothing.
struct PartialRows {
  float* out = nullptr;  ///< [rows][head_dim]
  float* maxima = nullptr;
  float* sums = nullptr;
  PartialRows from(std::size_t row, std::size_t head_dim) const {
    return {out + row * head_dim, maxima + row, sums + row};
  }
};

/// Memory for one tile.
struct TileScratch {
  float* scores = nullptr;       ///< [kTileRows][kSplitTokens]
  std::byte* weights = nullptr;  ///< [kTileRows][weights_bytes]: probabilities for the values.
  PartialRows partial;           ///< kTileRows of them.
};

/// Rows of one key/value head against one split of its keys. A row is one query head of one token:
/// the heads of a token lie together, then come those of the next token.
struct SplitTask {
  const AttentionShape* shape = nullptr;
  const std::byte* q = nullptr;  ///< [rows][query_bytes], as prepare_query makes them.
  std::uint32_t rows = 0;
  std::uint32_t first_position = 0;  ///< Of the first row's token.
  std::uint32_t first_key = 0;       ///< Position of the split's first key.
  /// The head's packed keys and values in each of the split's pages; null where no row sees any.
  const std::byte* const* tiles = nullptr;
  const std::byte* next = nullptr;  ///< What will be read after this split, or null.
  /// Merge into `results`; else store there what this split alone gives.
  bool merge = false;
  PartialRows results;
  TileScratch scratch;
};

/// Keys [first, last) of a split.
struct KeyRange {
  int first = 0;
  int last = 0;
  bool empty() const { return first >= last; }
};

/// Keys and values of consecutive tokens of one head, which lie in one page.
struct AppendTask {
  const float* keys = nullptr;
  const float* values = nullptr;
  std::size_t key_stride = 0;  ///< Floats from a token to the next.
  std::size_t value_stride = 0;
  std::uint32_t tokens = 0;
  std::uint32_t first_slot = 0;  ///< Of the first token within the page.
  std::uint32_t head_dim = 0;
  std::byte* tile = nullptr;
};

/// The inner loops over one form of keys and values.
struct CacheKernels {
  std::size_t query_bytes;
  std::size_t weights_bytes;
  void (*prepare_query)(const float* from, std::size_t head_dim, std::byte* to);
  void (*append)(const AppendTask& task);
  void (*attend_split)(const SplitTask& task);
};

/// The inner loops of one instruction set.
class AttentionKernels {
 public:
  InstructionSet set;
  CacheKernels bf16;
  CacheKernels int8;
  const CacheKernels& over(KvType type) const { return type == KvType::kInt8 ? int8 : bf16; }
  /// n floats to bf16, to nearest even; n is a multiple of 16.
  void (*round)(const float* from, std::size_t n, std::uint16_t* to);
  /// n numbers of 16 bits to floats; n is a multiple of 16.
  void (*widen_f16)(const std::uint16_t* from, std::size_t n, float* to);
  void (*widen_bf16)(const std::uint16_t* from, std::size_t n, float* to);
  /// Adds `more`, which comes from later keys, to `rows`.
  void (*merge)(const PartialRows& rows, const PartialRows& more, std::size_t count,
                std::size_t head_dim);
  /// out = row / its sum, for one row.
  void (*finish)(const float* row, float sum, std::size_t head_dim, float* out);
};

}  // namespace onnxlocal::ep
