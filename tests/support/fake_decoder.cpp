#include "fake_decoder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace onnxlocal {
namespace {

std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

std::uint64_t hash_tokens(std::span<const TokenId> tokens, std::uint64_t seed) {
  std::uint64_t hash = mix(seed);
  for (const TokenId token : tokens) hash = mix(hash ^ static_cast<std::uint32_t>(token));
  return hash;
}

/// In [-4, 4).
float logit(std::uint64_t hash, std::size_t token) {
  return static_cast<float>(mix(hash + token) >> 40) * 0x1p-21F - 4.0F;
}

}  // namespace

FakeDecoder::FakeDecoder(FakeDecoderOptions options) : options_(std::move(options)) {
  limits_ = {.vocabulary_size = options_.vocabulary_size,
             .slots = options_.slots,
             .slot_tokens_max = options_.slot_tokens_max,
             .chunk_tokens_max = options_.chunk_tokens_max,
             .mixing = options_.mixing,
             .kv_bytes_per_token = options_.kv_bytes_per_token};
  // A block: a hash of all tokens before it, then its own tokens.
  layout_ = {.layout_id = fmt::format("fake-{}", options_.model_seed),
             .block_tokens = options_.block_tokens,
             .block_bytes = sizeof(std::uint64_t) + options_.block_tokens * sizeof(TokenId)};
  slots_.resize(options_.slots);
  pages_.resize(options_.slots);
}

std::vector<float> FakeDecoder::logits_after(std::span<const TokenId> prefix) const {
  const std::uint64_t hash = hash_tokens(prefix, options_.model_seed);
  std::vector<float> logits(options_.vocabulary_size);
  for (std::size_t token = 0; token < logits.size(); ++token) logits[token] = logit(hash, token);
  if (options_.scripted_next) {
    const auto next = options_.scripted_next(prefix);
    if (next) logits.at(static_cast<std::size_t>(*next)) = 100.0F;
  }
  return logits;
}

TokenId FakeDecoder::greedy_next(std::span<const TokenId> prefix) const {
  const auto logits = logits_after(prefix);
  return static_cast<TokenId>(std::ranges::max_element(logits) - logits.begin());
}

std::vector<TokenId> FakeDecoder::expected_greedy(std::span<const TokenId> prompt,
                                                  std::size_t count) const {
  std::vector<TokenId> tokens(prompt.begin(), prompt.end());
  for (std::size_t i = 0; i < count; ++i) tokens.push_back(greedy_next(tokens));
  return {tokens.begin() + static_cast<std::ptrdiff_t>(prompt.size()), tokens.end()};
}

void FakeDecoder::check_steps(std::span<const Step> steps) const {
  std::set<std::uint32_t> seen;
  bool all_single = true;
  std::size_t all_tokens = 0;
  for (const Step& step : steps) {
    const std::uint32_t slot = step.slot.value;
    if (slot >= slots_.size()) {
      violation(fmt::format("slot {} of {}", slot, slots_.size()));
      continue;
    }
    if (!seen.insert(slot).second) violation(fmt::format("slot {} twice in one step", slot));
    const std::size_t tokens = step.tokens.size();
    if (tokens == 0) violation("a step without tokens");
    if (tokens > options_.chunk_tokens_max) violation(fmt::format("a chunk of {} tokens", tokens));
    if (slots_[slot].size() + tokens > options_.slot_tokens_max) violation("a slot is overfull");
    for (const TokenId token : step.tokens) {
      if (token < 0 || static_cast<std::uint32_t>(token) >= options_.vocabulary_size) {
        violation(fmt::format("token {}", token));
      }
    }
    all_single = all_single && tokens == 1;
    all_tokens += tokens;
  }
  if (options_.mixing == StepMixing::kRagged && all_tokens > options_.chunk_tokens_max) {
    violation(fmt::format("a ragged step of {} tokens", all_tokens));
  }
  if (steps.empty()) violation("a forward pass without steps");
  const bool is_ragged = steps.size() > 1 && !all_single;
  if (is_ragged && options_.mixing == StepMixing::kChunkOrSingles) violation("a mixed step");
}

Result<Logits> FakeDecoder::forward(std::span<const Step> steps) {
  if (options_.before_forward) options_.before_forward(steps);
  check_steps(steps);
  if (must_fail(Call::kForward)) {
    for (const Step& step : steps) truncate(step.slot, 0);
    return std::unexpected(internal_error("the fake decoder was told to fail"));
  }
  logits_.clear();
  std::uint32_t rows = 0;
  std::uint64_t tokens = 0;
  for (const Step& step : steps) {
    auto& slot = slots_.at(step.slot.value);
    for (std::size_t i = 0; i < step.tokens.size(); ++i) {
      slot.push_back(step.tokens[i]);
      const bool is_last = i + 1 == step.tokens.size();
      const bool is_wanted =
          step.logits == LogitsWanted::kAll || (step.logits == LogitsWanted::kLast && is_last);
      if (!is_wanted) continue;
      const auto row = logits_after(slot);
      logits_.insert(logits_.end(), row.begin(), row.end());
      ++rows;
    }
    tokens += step.tokens.size();
    resize_pages(step.slot);
  }
  const std::scoped_lock lock(mutex_);
  ++counts_.forwards;
  counts_.tokens += tokens;
  counts_.busiest_step = std::max(counts_.busiest_step, static_cast<std::uint32_t>(steps.size()));
  counts_.widest_step = std::max(counts_.widest_step, static_cast<std::uint32_t>(tokens));
  return Logits{.values = logits_, .rows = rows};
}

std::uint64_t FakeDecoder::free_tokens() const {
  if (options_.pool_blocks == 0) return kNoSharedLimit;
  std::set<const int*> used;
  for (const auto& pages : pages_) {
    for (const auto& page : pages) used.insert(page.get());
  }
  if (used.size() > options_.pool_blocks) violation("more pages than the pool has");
  const std::size_t free =
      options_.pool_blocks - std::min<std::size_t>(used.size(), options_.pool_blocks);
  return std::uint64_t{free} * options_.block_tokens;
}

/// As many pages as the slot's tokens need. A page that others hold too is not written to.
void FakeDecoder::resize_pages(SlotId slot) {
  if (options_.pool_blocks == 0) return;
  auto& pages = pages_.at(slot.value);
  const std::size_t needed =
      (slots_.at(slot.value).size() + options_.block_tokens - 1) / options_.block_tokens;
  if (pages.size() > needed) pages.resize(needed);
  while (pages.size() < needed) pages.push_back(std::make_shared<int>());
  static_cast<void>(free_tokens());
}

std::uint32_t FakeDecoder::length(SlotId slot) const {
  return static_cast<std::uint32_t>(slots_.at(slot.value).size());
}

void FakeDecoder::truncate(SlotId slot, std::uint32_t tokens) {
  auto& held = slots_.at(slot.value);
  if (tokens > held.size()) violation("a truncate to more than the slot holds");
  if (tokens > 0 && tokens < held.size()) {
    const std::scoped_lock lock(mutex_);
    counts_.taken_back += held.size() - tokens;
  }
  held.resize(std::min<std::size_t>(held.size(), tokens));
  resize_pages(slot);
}

Result<void> FakeDecoder::copy_prefix(SlotId from, SlotId to, std::uint32_t tokens) {
  const auto& source = slots_.at(from.value);
  auto& target = slots_.at(to.value);
  if (!target.empty()) violation("copy_prefix to a slot that is not empty");
  if (tokens > source.size()) violation("copy_prefix of more than there is");
  target.assign(source.begin(),
                source.begin() + std::min<std::ptrdiff_t>(tokens, std::ssize(source)));
  if (options_.pool_blocks > 0) {
    const std::size_t whole = target.size() / options_.block_tokens;
    const auto& pages = pages_.at(from.value);
    pages_.at(to.value).assign(pages.begin(), pages.begin() + static_cast<std::ptrdiff_t>(whole));
    resize_pages(to);
    const std::scoped_lock lock(mutex_);
    counts_.shared_blocks += whole;
  }
  return {};
}

Result<void> FakeDecoder::export_blocks(SlotId slot, std::uint32_t first_block,
                                        std::span<std::byte> bytes) const {
  if (must_fail(Call::kExport)) {
    return std::unexpected(internal_error("the fake export was told to fail"));
  }
  const std::span<const TokenId> held = slots_.at(slot.value);
  if (bytes.size() % layout_.block_bytes != 0) violation("an export of part of a block");
  const std::size_t blocks = bytes.size() / layout_.block_bytes;
  if ((first_block + blocks) * layout_.block_tokens > held.size()) {
    violation("an export of more than the slot holds");
    return std::unexpected(internal_error("the slot does not hold these blocks"));
  }
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::size_t begin = (first_block + block) * layout_.block_tokens;
    const std::uint64_t before = hash_tokens(held.first(begin), options_.model_seed);
    std::byte* out = bytes.data() + block * layout_.block_bytes;
    std::memcpy(out, &before, sizeof(before));
    std::memcpy(out + sizeof(before), held.data() + begin, layout_.block_tokens * sizeof(TokenId));
  }
  return {};
}

Result<void> FakeDecoder::import_blocks(SlotId slot, std::span<const std::byte> bytes) {
  auto& held = slots_.at(slot.value);
  if (must_fail(Call::kImport)) {
    // What a real one may leave behind: half of it.
    held.push_back(0);
    return std::unexpected(internal_error("the fake import was told to fail"));
  }
  if (held.size() % layout_.block_tokens != 0) violation("an import inside a block");
  if (bytes.size() % layout_.block_bytes != 0) violation("an import of part of a block");
  const std::size_t blocks = bytes.size() / layout_.block_bytes;
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::byte* in = bytes.data() + block * layout_.block_bytes;
    std::uint64_t before = 0;
    std::memcpy(&before, in, sizeof(before));
    if (before != hash_tokens(held, options_.model_seed))
      violation("a block behind a wrong prefix");
    const std::size_t old_size = held.size();
    held.resize(old_size + layout_.block_tokens);
    std::memcpy(held.data() + old_size, in + sizeof(before),
                layout_.block_tokens * sizeof(TokenId));
  }
  resize_pages(slot);
  const std::scoped_lock lock(mutex_);
  counts_.imported_blocks += blocks;
  return {};
}

void FakeDecoder::fail_forward(std::uint64_t n) { plan_failure(Call::kForward, n); }
void FakeDecoder::fail_import(std::uint64_t n) { plan_failure(Call::kImport, n); }
void FakeDecoder::fail_export(std::uint64_t n) { plan_failure(Call::kExport, n); }

void FakeDecoder::plan_failure(Call call, std::uint64_t n) {
  const std::scoped_lock lock(mutex_);
  const auto kind = static_cast<std::size_t>(call);
  failures_[kind].insert(calls_[kind] + n);
}

bool FakeDecoder::must_fail(Call call) const {
  const std::scoped_lock lock(mutex_);
  const auto kind = static_cast<std::size_t>(call);
  return failures_[kind].erase(++calls_[kind]) > 0;
}

void FakeDecoder::violation(std::string what) const {
  const std::scoped_lock lock(mutex_);
  counts_.violations.push_back(std::move(what));
}

FakeDecoderCounts FakeDecoder::counts() const {
  const std::scoped_lock lock(mutex_);
  return counts_;
}

}  // namespace onnxlocal
