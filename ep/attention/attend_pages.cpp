#include <algorithm>

#include "attention/attention_run.h"

namespace onnxlocal::ep {

namespace {

class PagedTiles {
 public:
  PagedTiles(const AttentionShape& shape, const PagedCache& cache,
             std::span<const SequenceRows> sequences)
      : cache_(cache), sequences_(sequences), tile_bytes_(tile_bytes(shape)) {}

  static std::size_t pack_bytes() { return 0; }
  void find(const RowBlock& block, std::uint32_t split, PageRange pages, SplitTiles& tiles,
            std::byte* /*pack*/) const {
    for (std::uint32_t page = pages.first; page < pages.last; ++page) {
      tiles[page] = tile(block, split * kSplitPages + page);
    }
  }
  const std::byte* next(const RowBlock& block, std::uint32_t split) const {
    return tile(block, split * kSplitPages);
  }

 private:
  const std::byte* tile(const RowBlock& block, std::uint32_t page) const {
    const auto index = static_cast<std::size_t>(sequences_[block.sequence].pages[page]);
    return cache_.layer_of(index) + block.kv_head * tile_bytes_;
  }
  const PagedCache& cache_;
  std::span<const SequenceRows> sequences_;
  std::size_t tile_bytes_;
};

/// The tokens of one sequence that lie in one page.
struct PageRows {
  const SequenceRows* sequence = nullptr;
  std::uint32_t page = 0;
};

std::uint32_t first_page(const SequenceRows& sequence) { return sequence.past / kPageTokens; }
std::uint32_t pages_of(const SequenceRows& sequence) {
  if (sequence.rows == 0) return 0;
  return (sequence.past + sequence.rows - 1) / kPageTokens + 1 - first_page(sequence);
}
PageRows page_rows(std::span<const SequenceRows> sequences, std::size_t index) {
  for (const SequenceRows& sequence : sequences) {
    const std::uint32_t pages = pages_of(sequence);
    if (index < pages) {
      return {.sequence = &sequence,
              .page = first_page(sequence) + static_cast<std::uint32_t>(index)};
    }
    index -= pages;
  }
  return {};
}

struct Appending {
  const CacheKernels& kernels;
  const AttentionShape& shape;
  const PagedCache& cache;
  ConstRows k;
  ConstRows v;

  void append(const PageRows& rows) const {
    const SequenceRows& sequence = *rows.sequence;
    const std::uint32_t begin = std::max(rows.page * kPageTokens, sequence.past);
    const std::uint32_t end =
        std::min((rows.page + 1) * kPageTokens, sequence.past + sequence.rows);
    const std::size_t row = sequence.first_row + (begin - sequence.past);
    std::byte* tile = cache.layer_of(static_cast<std::size_t>(sequence.pages[rows.page]));
    for (std::uint32_t head = 0; head < shape.kv_heads; ++head, tile += tile_bytes(shape)) {
      kernels.append({.keys = k.row(row) + head * shape.head_dim,
                      .values = v.row(row) + head * shape.head_dim,
                      .key_stride = k.stride,
                      .value_stride = v.stride,
                      .tokens = end - begin,
                      .first_slot = begin % kPageTokens,
                      .head_dim = shape.head_dim,
                      .tile = tile});
    }
  }
};

}  // namespace

std::optional<KvType> kv_type_of_bits(std::int64_t bits) {
  if (bits == 16) return KvType::kBf16;
  if (bits == 8) return KvType::kInt8;
  return std::nullopt;
}

std::size_t layer_page_bytes(const AttentionShape& shape) {
  return shape.kv_heads * tile_bytes(shape);
}

void append_to_pages(const AttentionKernels& kernels, Parallel& parallel,
                     const AttentionShape& shape, const PagedCache& cache,
                     std::span<const SequenceRows> sequences, ConstRows k, ConstRows v) {
  const Appending appending{
      .kernels = kernels.over(shape.kv_type), .shape = shape, .cache = cache, .k = k, .v = v};
  std::size_t pages = 0;
  std::size_t rows = 0;
  for (const SequenceRows& sequence : sequences) {
    pages += pages_of(sequence);
    rows += sequence.rows;
  }
  const auto body = [&](std::size_t index) { appending.append(page_rows(sequences, index)); };
  // Few rows take less time than waking the others.
  constexpr std::size_t kRowsForOneThread = 8;
  if (rows <= kRowsForOneThread) {
    for (std::size_t i = 0; i < pages; ++i) body(i);
  } else {
    parallel.run(pages, body);
  }
}

void attend_pages(const AttentionKernels& kernels, Parallel& parallel, const AttentionShape& shape,
                  const PagedCache& cache, std::span<const SequenceRows> sequences, ConstRows q,
                  const Rows& out, std::vector<std::byte>& scratch) {
  const PagedTiles source(shape, cache, sequences);
  attend_over(source, sequences,
              {.kernels = kernels,
               .parallel = parallel,
               .shape = shape,
               .q = q,
               .out = out,
               .scratch = scratch});
}

}  // namespace onnxlocal::ep
