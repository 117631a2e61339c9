#pragma once

#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "dialect/dialect.h"
#include "generation/request.h"
#include "generation/token.h"
#include "provider/prompt.h"
#include "provider/reply_constraint.h"
#include "provider/reply_reader.h"
#include "provider/schema_cache.h"
#include "text/grammar_cache.h"
#include "text/tokenizer.h"

namespace onnxlocal {

/// What a model can be held to and read by.
struct ModelTongue {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const Dialect> dialect;
  std::vector<TokenId> end_tokens;
  /// Its tokenizer is of a kind that llguidance can use. Soon known; only what is to be held to a
  /// grammar waits for it.
  std::shared_future<bool> takes_grammars;
};

/// How one request's reply is held to what was asked, and read.
struct ReplyPlan {
  /// Null where the reply is plain text that needs no reading: it goes on as it comes.
  std::optional<ReplyReader::Options> reader;
  std::shared_ptr<const Grammar> grammar;  ///< Null where the reply is free.
  std::optional<ThinkingBudget> thinking;
  std::vector<TokenId> visible_tokens;
  std::vector<TokenId> stop_tokens;
  /// Whole schemas of the tools whose schema the grammar could not hold, by the tools' names: their
  /// inputs are to be validated.
  std::map<std::string, std::string> checked_schemas;

  bool is_constrained() const { return grammar || thinking; }
};

/// What is worth keeping from one request to the next. Any thread.
struct RuleCaches {
  SchemaCache schemas;
  GrammarCache grammars;
};

/// Whether the request asks for thinking, and the model can.
bool wants_thinking(const GenerationRequest& request, const Dialect& dialect);

/// Errors: invalid_request (a schema that must hold has what no grammar can; its path says where),
/// too_large, unsupported (a reply must be held to a grammar, and the tokenizer is of no kind for
/// that). Compiles grammars: not on a thread that others wait for.
Result<ReplyPlan> plan_reply(const GenerationRequest& request, const ModelTongue& tongue,
                             const Prompt& prompt, RuleCaches& caches);

}  // namespace onnxlocal
