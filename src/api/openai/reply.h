#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "api/response_encoder.h"
#include "base/json.h"
#include "generation/event.h"
#include "generation/token.h"

namespace onnxlocal::openai {

/// The text of tokens, special ones left out.
using Detokenize = std::function<std::string(std::span<const TokenId>)>;

/// What is known of an answer before its first token.
struct ReplyOptions {
  std::string id;
  std::string model;  ///< As the client wrote it.
  std::int64_t created_s = 0;
  bool is_stream = false;
  bool include_usage = false;  ///< At the end of a stream; bodies always have it.
  bool has_logprobs = false;
  Detokenize detokenize;  ///< For logprobs; may be empty where there are none.
};

/// What all encoders of this format share.
class ReplyEncoder : public ResponseEncoder {
 public:
  explicit ReplyEncoder(ReplyOptions options) : options_(std::move(options)) {}

  bool is_stream() const override { return options_.is_stream; }
  /// A comment: clients drop it.
  std::string ping() override { return ": ping\n\n"; }
  ErrorReply error_reply(const Error& error) const override;

 protected:
  const ReplyOptions& options() const { return options_; }

 private:
  ReplyOptions options_;
};

/// "stop", "length" or "tool_calls".
std::string_view finish_reason(StopReason reason);

/// The `usage` of chat completions and completions.
json::object usage_object(const Usage& usage);

/// A call's id as OpenAI's look: "call_..." for our "toolu_...".
std::string call_id(std::string_view id);

/// The logarithmic probabilities of these tokens, as chat completions and responses write them.
json::array logprobs_of(std::span<const TokenReport> reports, const Detokenize& detokenize);

}  // namespace onnxlocal::openai
