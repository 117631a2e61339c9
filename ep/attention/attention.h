#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cpu/instruction_set.h"
#include "rows/rows.h"
#include "threads/parallel.h"

namespace onnxlocal::ep {

/// How pages hold keys and values. Int8: each token's key and value of a head are 8-bit numbers
/// with a scale of their own, so that they depend on no other token.
enum class KvType : std::uint8_t { kBf16, kInt8 };

/// 16: bf16, 8: int8.
std::optional<KvType> kv_type_of_bits(std::int64_t bits);

/// One layer's attention. Head sizes are multiples of 16 up to 256.
struct AttentionShape {
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;  ///< Divides heads.
  std::uint32_t head_dim = 0;
  float scale = 1;           ///< Above 0.
  float softcap = 0;         ///< 0: none.
  std::uint32_t window = 0;  ///< Keys each row sees, itself included; 0: all before it.
  KvType kv_type = KvType::kBf16;
};

/// Tokens of a page. A page is the unit of sharing: it belongs to one run of token positions
/// [32 * i, 32 * i + 32) of one or several sequences.
inline constexpr std::uint32_t kPageTokens = 32;
/// Keys whose partial result is computed apart and merged in order: cut at absolute positions, so
/// that the result does not depend on chunks, threads or the batch.
inline constexpr std::uint32_t kSplitTokens = 256;

/// Packed keys and values of one layer in a page: for each key/value head
///   bf16: K [2 groups of 16 keys][head_dim / 2][16 keys][2], then V [16 key pairs][head_dim][2]
///   int8: scales of keys f32 [32], scales of values f32 [32], then
///         K [2 groups of 16 keys][head_dim / 4][16 keys][4], then V [8 key quads][head_dim][4]
/// so that one 64-byte line is 16 keys x 2 (4) dimensions, or 16 dimensions x 2 (4) keys.
std::size_t layer_page_bytes(const AttentionShape& shape);

/// All pages of a cache, of which a layer sees its part: layer_offset inside each page.
struct PagedCache {
  std::byte* pages = nullptr;
  std::size_t page_bytes = 0;
  std::size_t layer_offset = 0;
  std::byte* layer_of(std::size_t page) const { return pages + page * page_bytes + layer_offset; }
};

/// Consecutive rows (tokens) of one sequence in a ragged batch.
struct SequenceRows {
  std::uint32_t first_row = 0;
  std::uint32_t rows = 0;
  std::uint32_t past = 0;               ///< Tokens before the first row.
  const std::int32_t* pages = nullptr;  ///< Page of tokens [32 * i, 32 * i + 32).
};

/// Keys and values that another layout holds, one row of head_dim numbers for each token and head
/// (GroupQueryAttention's caches, com.microsoft.PagedAttention's blocks). They are packed tile by
/// tile as they are read.
struct ForeignCache {
  enum class Number : std::uint8_t { kFloat32, kFloat16, kBfloat16 };
  Number type = Number::kFloat32;
  const std::byte* keys = nullptr;
  const std::byte* values = nullptr;
  std::size_t head_stride = 0;           ///< Bytes from a key/value head to the next.
  std::size_t token_stride = 0;          ///< Bytes from a token to the next within a block.
  std::size_t block_stride = 0;          ///< Bytes from a block to the next.
  std::uint32_t block_tokens = 0;        ///< 0: one block holds all tokens of the sequence.
  const std::int32_t* blocks = nullptr;  ///< [blocks]; null: block 0 is at `keys` itself.
};
struct ForeignSequence {
  std::uint32_t first_row = 0;
  std::uint32_t rows = 0;
  std::uint32_t past = 0;
  ForeignCache cache;
};

class AttentionKernels;  // attention_kernels.h: the inner loops of one instruction set.
const AttentionKernels& attention_kernels(InstructionSet set);

/// Writes keys and values of all rows into their pages. k and v: [rows][kv_heads * head_dim],
/// rotated already. Any split over threads gives the same bytes.
void append_to_pages(const AttentionKernels& kernels, Parallel& parallel,
                     const AttentionShape& shape, const PagedCache& cache,
                     std::span<const SequenceRows> sequences, ConstRows k, ConstRows v);

/// Causal attention of all rows over their sequences' pages, which hold the rows' own keys already.
/// q, out: [rows][heads * head_dim]. Decode and prefill share one arithmetic: a row's bits depend
/// on its q, its keys and values, and its position alone. `scratch` is grown and kept by the
/// caller.
void attend_pages(const AttentionKernels& kernels, Parallel& parallel, const AttentionShape& shape,
                  const PagedCache& cache, std::span<const SequenceRows> sequences, ConstRows q,
                  const Rows& out, std::vector<std::byte>& scratch);

/// The same over foreign caches.
void attend_foreign(const AttentionKernels& kernels, Parallel& parallel,
                    const AttentionShape& shape, std::span<const ForeignSequence> sequences,
                    ConstRows q, const Rows& out, std::vector<std::byte>& scratch);

}  // namespace onnxlocal::ep
