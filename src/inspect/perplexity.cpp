#include "inspect/perplexity.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/file_system.h"
#include "base/json.h"

namespace onnxlocal {

namespace {

constexpr std::size_t kTextBytesMax = std::size_t{256} << 20;
/// Positions whose logits are asked for at once: 128 rows of 50,000 words are 25 MB.
constexpr std::uint32_t kScoredRowsMax = 128;
constexpr SlotId kSlot{0};

/// Sums over the scored positions.
struct Score {
  double loss = 0;
  double loss_squared = 0;
  std::vector<TokenId> top_tokens;

  void add(std::span<const float> logits, TokenId next) {
    const auto best = std::ranges::max_element(logits);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(logit - *best);
    const double value = std::log(sum) - (logits[static_cast<std::size_t>(next)] - *best);
    loss += value;
    loss_squared += value * value;
    top_tokens.push_back(static_cast<TokenId>(best - logits.begin()));
  }
};

/// Runs one chunk and scores positions [first, chunk.size() - 1). `next` are the text's own tokens,
/// of which the chunk's first may have been replaced.
Result<void> score_chunk(Decoder& decoder, std::span<const TokenId> chunk, std::size_t first,
                         Score& score) {
  const std::size_t step_max = decoder.limits().chunk_tokens_max;
  const std::size_t scored_end = chunk.size() - 1;
  decoder.truncate(kSlot, 0);
  for (std::size_t at = 0; at < first;) {
    const std::size_t count = std::min(step_max, first - at);
    const Step step{kSlot, chunk.subspan(at, count), LogitsWanted::kNone};
    TRY(const Logits none, decoder.forward({&step, 1}));
    static_cast<void>(none);
    at += count;
  }
  const std::size_t rows_max = std::min<std::size_t>(step_max, kScoredRowsMax);
  for (std::size_t at = first; at < scored_end;) {
    const std::size_t count = std::min(rows_max, scored_end - at);
    const Step step{kSlot, chunk.subspan(at, count), LogitsWanted::kAll};
    TRY(const Logits logits, decoder.forward({&step, 1}));
    for (std::uint32_t row = 0; row < count; ++row) {
      score.add(logits.row(row), chunk[at + row + 1]);
    }
    at += count;
  }
  return {};
}

Result<void> check_tokens(const Decoder& decoder, std::span<const TokenId> tokens,
                          const PerplexityOptions& options) {
  const std::size_t needed = std::size_t{2} * options.context_tokens;
  if (options.context_tokens < 4) {
    return std::unexpected(invalid_request("a perplexity chunk has at least 4 tokens"));
  }
  if (tokens.size() < needed) {
    return std::unexpected(
        invalid_request(fmt::format("the text has {} tokens, and two chunks of {} need {}",
                                    tokens.size(), options.context_tokens, needed),
                        "Take a longer text or smaller chunks."));
  }
  if (options.context_tokens > decoder.limits().slot_tokens_max) {
    return std::unexpected(
        invalid_request(fmt::format("a chunk of {} tokens does not fit the context of {}",
                                    options.context_tokens, decoder.limits().slot_tokens_max)));
  }
  const auto vocabulary = static_cast<TokenId>(decoder.limits().vocabulary_size);
  const auto is_known = [&](TokenId token) { return token >= 0 && token < vocabulary; };
  if (!std::ranges::all_of(tokens, is_known) ||
      (options.bos_token && !is_known(*options.bos_token))) {
    return std::unexpected(invalid_request("the text has a token outside the model's vocabulary"));
  }
  return {};
}

PerplexityResult to_result(Score score, std::uint32_t chunks, std::uint32_t context_tokens) {
  const auto count = static_cast<double>(score.top_tokens.size());
  const double mean = score.loss / count;
  const double variance = score.loss_squared / count - mean * mean;
  PerplexityResult result;
  result.perplexity = std::exp(mean);
  if (variance > 0 && count > 1) {
    result.deviation = std::sqrt(variance / (count - 1)) * result.perplexity;
  }
  result.context_tokens = context_tokens;
  result.chunks = chunks;
  result.scored_tokens = static_cast<std::uint32_t>(score.top_tokens.size());
  result.top_tokens = std::move(score.top_tokens);
  return result;
}

}  // namespace

Result<PerplexityResult> measure_perplexity(Decoder& decoder, std::span<const TokenId> tokens,
                                            const PerplexityOptions& options, std::stop_token stop,
                                            const ProgressSink& progress) {
  TRY_VOID(check_tokens(decoder, tokens, options));
  // llama.cpp tokenizes with the beginning token in front, and cuts after that.
  std::vector<TokenId> text;
  text.reserve(tokens.size() + 1);
  if (options.bos_token) text.push_back(*options.bos_token);
  text.insert(text.end(), tokens.begin(), tokens.end());

  const std::size_t size = options.context_tokens;
  auto chunks = static_cast<std::uint32_t>(text.size() / size);
  if (options.chunks_max > 0) chunks = std::min(chunks, options.chunks_max);
  Score score;
  for (std::uint32_t index = 0; index < chunks; ++index) {
    if (stop.stop_requested()) return std::unexpected(cancelled());
    const std::span<TokenId> chunk = std::span(text).subspan(index * size, size);
    if (options.bos_token) chunk.front() = *options.bos_token;
    TRY_VOID(score_chunk(decoder, chunk, size / 2, score));
    if (progress) progress("perplexity", index + 1, chunks);
  }
  decoder.truncate(kSlot, 0);
  return to_result(std::move(score), chunks, options.context_tokens);
}

Result<PerplexityReference> parse_perplexity_reference(std::string_view json,
                                                       std::string_view where) {
  const auto bad = [&](std::string_view what) {
    return std::unexpected(model_corrupt(fmt::format("{}: {}", where, what)));
  };
  auto parsed = json::parse(json);
  if (!parsed) return std::unexpected(with_context(where, parsed.error()));
  if (!parsed->is_object()) return bad("expected an object");
  const json::object& object = parsed->get_object();
  const auto* perplexity = object.if_contains("perplexity");
  const auto* context = object.if_contains("context_tokens");
  const auto* top_tokens = object.if_contains("top_tokens");
  if (perplexity == nullptr || !perplexity->is_number()) return bad("expected a perplexity");
  if (context == nullptr || !context->is_int64()) return bad("expected context_tokens");
  if (top_tokens == nullptr || !top_tokens->is_array()) return bad("expected top_tokens");
  PerplexityReference reference;
  reference.perplexity = perplexity->to_number<double>();
  if (!(reference.perplexity > 0)) return bad("perplexity must be more than 0");
  if (context->get_int64() < 1 || context->get_int64() > UINT32_MAX) {
    return bad("context_tokens is out of range");
  }
  reference.context_tokens = static_cast<std::uint32_t>(context->get_int64());
  for (const json::value& token : top_tokens->get_array()) {
    if (!token.is_int64() || token.get_int64() < 0 || token.get_int64() > INT32_MAX) {
      return bad("top_tokens holds what is no token");
    }
    reference.top_tokens.push_back(static_cast<TokenId>(token.get_int64()));
  }
  return reference;
}

Result<PerplexityComparison> compare_perplexity(const PerplexityResult& result,
                                                const PerplexityReference& reference) {
  if (result.context_tokens != reference.context_tokens) {
    return std::unexpected(
        invalid_request(fmt::format("the reference has chunks of {} tokens, this run of {}",
                                    reference.context_tokens, result.context_tokens)));
  }
  const std::size_t positions = std::min(result.top_tokens.size(), reference.top_tokens.size());
  if (positions == 0) return std::unexpected(invalid_request("there is nothing to compare"));
  std::size_t same = 0;
  for (std::size_t i = 0; i < positions; ++i) {
    same += result.top_tokens[i] == reference.top_tokens[i] ? 1 : 0;
  }
  PerplexityComparison comparison;
  comparison.positions = static_cast<std::uint32_t>(positions);
  comparison.top_token_agreement = static_cast<double>(same) / static_cast<double>(positions);
  if (result.top_tokens.size() == reference.top_tokens.size()) {
    comparison.perplexity_ratio = result.perplexity / reference.perplexity;
  }
  return comparison;
}

Result<std::string> read_perplexity_text(const std::filesystem::path& file) {
  TRY(std::string text, read_text_file(file, kTextBytesMax));
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace onnxlocal
