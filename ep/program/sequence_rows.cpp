#include "program/sequence_rows.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "graph/text.h"

namespace onnxlocal::ep {

namespace {

using Problem = std::optional<std::string>;

/// A sequence's length fits 31 bits with room to add.
constexpr std::int64_t kMostTokens = 1 << 30;

void add_sequence(SequenceBatch& batch, std::int64_t first, std::int64_t rows, std::int64_t past,
                  const std::int32_t* pages) {
  batch.sequences.push_back({.first_row = static_cast<std::uint32_t>(first),
                             .rows = static_cast<std::uint32_t>(rows),
                             .past = static_cast<std::uint32_t>(past),
                             .pages = pages});
  const auto begin = batch.positions.begin() + first;
  std::iota(begin, begin + rows, static_cast<std::int32_t>(past));
  if (rows > 0) batch.longest = std::max(batch.longest, static_cast<std::uint32_t>(past + rows));
}

/// The table as int32, [sequences][width].
const std::int32_t* narrow(const Integers& table, SequenceBatch& batch) {
  if (table.narrow() != nullptr) return table.narrow();
  batch.narrowed.resize(table.count());
  for (std::size_t i = 0; i < table.count(); ++i) {
    constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
    batch.narrowed[i] = static_cast<std::int32_t>(std::clamp<std::int64_t>(table.at(i), -1, kMost));
  }
  return batch.narrowed.data();
}

Problem check_pages(std::size_t sequence, std::int64_t tokens, std::span<const std::int32_t> pages,
                    std::size_t page_count) {
  const auto needed = static_cast<std::size_t>((tokens + kPageTokens - 1) / kPageTokens);
  if (needed > pages.size()) {
    return text("sequence ", sequence, " has ", tokens, " tokens: they need ", needed,
                " pages, page_table has ", pages.size());
  }
  for (std::size_t i = 0; i < needed; ++i) {
    if (pages[i] < 0 || static_cast<std::size_t>(pages[i]) >= page_count) {
      return text("page_table[", sequence, ", ", i, "] is ", pages[i], ": there are ", page_count,
                  " pages");
    }
  }
  return std::nullopt;
}

Problem read_paged(const Sequences& known, std::size_t rows, const std::vector<Integers>& integers,
                   std::size_t page_count, SequenceBatch& batch) {
  const auto& starts = integers[static_cast<std::size_t>(known.starts)];
  const auto& past = integers[static_cast<std::size_t>(known.past)];
  const auto& table = integers[static_cast<std::size_t>(known.table)];
  if (starts.count() == 0 || past.count() + 1 != starts.count() || table.dims().size() != 2 ||
      static_cast<std::size_t>(table.dims()[0]) != past.count()) {
    return text("sequence_starts ", dims_text(starts.dims()), ", past_lengths ",
                dims_text(past.dims()), " and page_table ", dims_text(table.dims()),
                " are not [sequences + 1], [sequences] and [sequences, pages]");
  }
  if (starts.at(0) != 0 || starts.at(past.count()) != static_cast<std::int64_t>(rows)) {
    return text("sequence_starts begins with ", starts.at(0), " and ends with ",
                starts.at(past.count()), ", expected 0 and ", rows);
  }
  const auto width = static_cast<std::size_t>(table.dims()[1]);
  const auto* pages = narrow(table, batch);
  for (std::size_t i = 0; i < past.count(); ++i) {
    const auto first = starts.at(i);
    const auto last = starts.at(i + 1);
    if (last < first || last > static_cast<std::int64_t>(rows)) {
      return text("sequence_starts[", i + 1, "] is ", last, " after ", first, " of ", rows,
                  " rows");
    }
    if (past.at(i) < 0 || past.at(i) > kMostTokens) {
      return text("past_lengths[", i, "] is ", past.at(i));
    }
    if (last == first) continue;
    const auto own = std::span(pages + i * width, width);
    if (auto problem = check_pages(i, past.at(i) + last - first, own, page_count)) return problem;
    add_sequence(batch, first, last - first, past.at(i), own.data());
  }
  return std::nullopt;
}

/// GroupQueryAttention's rule: a run whose rows are all tokens there are begins at 0, padded at its
/// right; else each sequence ends with its rows.
Problem read_lengths(const Sequences& known, const SpaceRows& rows,
                     const std::vector<Integers>& integers, SequenceBatch& batch) {
  const auto& lengths = integers[static_cast<std::size_t>(known.lengths)];
  const auto& total = integers[static_cast<std::size_t>(known.total)];
  const auto count = rows.dims[0];
  const auto own = rows.dims[1];
  if (static_cast<std::int64_t>(lengths.count()) != count || total.count() != 1) {
    return text("seqlens_k ", dims_text(lengths.dims()), " and total_sequence_length ",
                dims_text(total.dims()), " are not one for each of ", count, " sequences and one");
  }
  const auto all = total.at(0);
  if (all < own || all > kMostTokens) {
    return text("total_sequence_length is ", all, " with ", own, " rows");
  }
  batch.total = static_cast<std::size_t>(all);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto length = lengths.at(static_cast<std::size_t>(i));
    const auto past = own == all ? 0 : length + 1 - own;
    if (length < 0 || length >= all || past < 0) {
      return text("seqlens_k[", i, "] is ", length, " with ", own,
                  " rows and a total_sequence_length of ", all);
    }
    if (own > 0) add_sequence(batch, i * own, own, past, nullptr);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> read_sequences(const Sequences& sequences, const SpaceRows& rows,
                                          const std::vector<Integers>& integers,
                                          std::size_t page_count, SequenceBatch& batch) {
  batch.sequences.clear();
  batch.positions.assign(rows.rows, 0);
  batch.longest = 0;
  if (rows.rows >= static_cast<std::size_t>(kMostTokens)) return text(rows.rows, " rows");
  if (sequences.is_paged) return read_paged(sequences, rows.rows, integers, page_count, batch);
  return read_lengths(sequences, rows, integers, batch);
}

}  // namespace onnxlocal::ep
