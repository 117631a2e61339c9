#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/fields.h"
#include "base/json_text.h"
#include "generation/request.h"

namespace onnxlocal::anthropic {

/// How much of its thinking a client is shown.
enum class ThinkingDisplay {
  kShown,
  kOmitted,  ///< None; the signature still carries it.
};

/// The fields of a request beside its conversation and its tools. All errors are invalid_request
/// and name the path.

/// `temperature`, `top_p`, `top_k`. Newer clients have them not; older ones send them.
Result<void> parse_sampling(const Fields& request, SamplingOptions& sampling);

Result<std::vector<std::string>> parse_stop_sequences(const Fields& request);

struct Thinking {
  ThinkingOptions options;
  ThinkingDisplay display = ThinkingDisplay::kShown;
};

/// `thinking`; its budget has to be below `tokens_max`, where that is given and `is_interleaved` is
/// not: then the budget is for the whole turn.
Result<Thinking> parse_thinking(const Fields& request, std::optional<std::uint32_t> tokens_max,
                                bool is_interleaved);

/// `output_config` and the older `output_format`. `body` is the request's text: a schema is taken
/// from it as it was written.
Result<OutputFormat> parse_output_format(const Fields& request, json::TextView body);

/// Refuses what would be wrong to ignore.
Result<void> check_unsupported(const Fields& request);

/// Who asks, by `metadata.user_id`: its session where it is Claude Code's JSON, else all of it.
/// Empty where it says nothing.
Result<std::string> parse_agent(const Fields& request);

}  // namespace onnxlocal::anthropic
