#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "generation/token.h"
#include "runtime/decoder.h"

namespace onnxlocal {

struct PerplexityOptions {
  std::uint32_t context_tokens = 512;  ///< Tokens of one chunk; at least 4.
  std::uint32_t chunks_max = 0;        ///< 0: all.
  /// Stands in place of each chunk's first token, for models that begin every text with it.
  std::optional<TokenId> bos_token = {};
};

struct PerplexityResult {
  double perplexity = 0;
  double deviation = 0;  ///< Standard error of the perplexity.
  std::uint32_t context_tokens = 0;
  std::uint32_t chunks = 0;
  std::uint32_t scored_tokens = 0;  ///< chunks * (context_tokens - context_tokens / 2 - 1)
  /// The most likely next token at each scored position, in order (lowest id on a tie).
  std::vector<TokenId> top_tokens;
};

/// Perplexity by the protocol of llama.cpp's `llama-perplexity`: the text is cut into whole chunks
/// of `context_tokens`, each starts an empty slot, and of each the second half is scored, the
/// chunk's last position (whose next token belongs to another chunk) left out. Uses slot 0, which
/// is emptied. Source: llama.cpp, tools/perplexity/perplexity.cpp, `perplexity()`. Errors:
/// invalid_request (fewer than two chunks; a chunk does not fit a slot), cancelled, internal.
Result<PerplexityResult> measure_perplexity(Decoder& decoder, std::span<const TokenId> tokens,
                                            const PerplexityOptions& options,
                                            std::stop_token stop = {},
                                            const ProgressSink& progress = {});

/// What an earlier run, or another program, got on the same text.
struct PerplexityReference {
  double perplexity = 0;
  std::uint32_t context_tokens = 0;
  std::vector<TokenId> top_tokens;
};

/// `{"perplexity": P, "context_tokens": N, "top_tokens": [..]}`, as `onnx-local perplexity --json
/// --top-tokens` prints it. `where` names the file in errors. Errors: model_corrupt.
Result<PerplexityReference> parse_perplexity_reference(std::string_view json,
                                                       std::string_view where);

struct PerplexityComparison {
  /// Ours over theirs; empty where the two did not score the same number of positions.
  std::optional<double> perplexity_ratio = {};
  double top_token_agreement = 0;  ///< Share of positions with the same most likely token.
  std::uint32_t positions = 0;     ///< Compared: the shorter of the two.
};
/// Errors: invalid_request (other chunk sizes, or nothing to compare).
Result<PerplexityComparison> compare_perplexity(const PerplexityResult& result,
                                                const PerplexityReference& reference);

/// The text of a file as `llama-perplexity -f` takes it: without one last line break.
/// Errors: not_found, too_large, internal.
Result<std::string> read_perplexity_text(const std::filesystem::path& file);

}  // namespace onnxlocal
