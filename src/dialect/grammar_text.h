#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dialect/dialect.h"
#include "generation/request.h"
#include "generation/token.h"
#include "generation/tool.h"

namespace onnxlocal {

/// What a reply must be held to.
struct ReplyRules {
  /// Whether a reply begins with thinking.
  enum class Thinking {
    kNone,
    kOpen,      ///< The prompt began it.
    kOptional,  ///< As the model sees fit.
    kRequired,
  };
  Thinking thinking = Thinking::kNone;
  /// With schemas that a grammar can hold (text/json_schema.h).
  std::vector<ToolDefinition> tools;
  ToolChoice tool_choice;
  OutputFormat output_format;
};

/// The id of a mark that the tokenizer has as a special token: in a grammar it is that token, while
/// other marks are text.
using SpecialTokenLookup = std::function<std::optional<TokenId>(std::string_view mark)>;

/// The grammar of a reply in llguidance's Lark (github.com/guidance-ai/llguidance,
/// docs/syntax.md); empty where a reply is free. JSON is written as models write it, `", "` and
/// `": "` between parts, so that none of them can go on in white space without end.
std::string grammar_text(const Dialect& dialect, const ReplyRules& rules,
                         const SpecialTokenLookup& special_token);

}  // namespace onnxlocal
