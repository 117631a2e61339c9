#include "api/openai/completion_reply.h"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "api/openai/errors.h"
#include "api/sse.h"

namespace onnxlocal::openai {

namespace {

std::size_t count_characters(std::string_view text) {
  constexpr unsigned kContinuationMask = 0xC0;
  constexpr unsigned kContinuation = 0x80;
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char byte) {
    return (static_cast<unsigned char>(byte) & kContinuationMask) != kContinuation;
  }));
}

class Completion final : public ReplyEncoder {
 public:
  Completion(ReplyOptions options, std::string echo)
      : ReplyEncoder(std::move(options)), text_(std::move(echo)) {}

  std::string start_early(const Usage&) override { return start(); }

  std::string encode(const GenerationEvent& event) override {
    if (const auto* finished = std::get_if<GenerationFinished>(&event)) return finish(*finished);
    if (const auto* delta = std::get_if<GenerationDelta>(&event)) return add(*delta);
    if (!is_stream()) return {};
    if (std::holds_alternative<GenerationStarted>(event)) return start();
    if (const auto* failed = std::get_if<GenerationFailed>(&event)) {
      return sse_data_text(error_body(failed->error)) + sse_done();
    }
    return {};
  }

 private:
  json::object frame(json::array choices) const {
    return {{"id", options().id},
            {"object", "text_completion"},
            {"created", options().created_s},
            {"model", options().model},
            {"system_fingerprint", nullptr},
            {"choices", std::move(choices)}};
  }

  json::object choice(std::string_view text, std::span<const TokenReport> reports,
                      json::value reason) {
    json::object choice{{"text", text}, {"index", 0}, {"logprobs", nullptr}};
    if (options().has_logprobs) choice["logprobs"] = logprobs(reports);
    choice["finish_reason"] = std::move(reason);
    return choice;
  }

  /// Four lists of one length. Offsets go on over the pieces of a stream.
  json::object logprobs(std::span<const TokenReport> reports) {
    json::array tokens;
    json::array chosen;
    json::array alternatives;
    json::array offsets;
    for (const TokenReport& report : reports) {
      const std::string text = options().detokenize(std::span(&report.chosen.token, 1));
      tokens.emplace_back(text);
      chosen.emplace_back(report.chosen.logprob);
      offsets.emplace_back(offset_);
      offset_ += count_characters(text);
      json::object others;
      for (const TokenLogprob& other : report.alternatives) {
        others[options().detokenize(std::span(&other.token, 1))] = other.logprob;
      }
      alternatives.emplace_back(std::move(others));
    }
    return {{"tokens", std::move(tokens)},
            {"token_logprobs", std::move(chosen)},
            {"top_logprobs", std::move(alternatives)},
            {"text_offset", std::move(offsets)}};
  }

  std::string piece(json::object one) const {
    json::array choices;
    choices.emplace_back(std::move(one));
    json::object body = frame(std::move(choices));
    if (options().include_usage) body["usage"] = nullptr;
    return sse_data(body);
  }

  std::string start() {
    const std::string echo = std::exchange(text_, {});
    return echo.empty() ? std::string() : piece(choice(echo, {}, nullptr));
  }

  std::string add(const GenerationDelta& delta) {
    if (!is_stream()) {
      text_ += delta.text;
      reports_.insert(reports_.end(), delta.tokens.begin(), delta.tokens.end());
      return {};
    }
    if (delta.text.empty() && !(options().has_logprobs && !delta.tokens.empty())) return {};
    return piece(choice(delta.text, delta.tokens, nullptr));
  }

  std::string finish(const GenerationFinished& finished) {
    const json::value reason(finish_reason(finished.reason));
    if (!is_stream()) {
      json::array choices;
      choices.emplace_back(choice(text_, reports_, reason));
      json::object body = frame(std::move(choices));
      body["usage"] = usage_object(finished.usage);
      return json::serialize(body);
    }
    std::string text = piece(choice({}, {}, reason));
    if (options().include_usage) {
      json::object last = frame({});
      last["usage"] = usage_object(finished.usage);
      text += sse_data(last);
    }
    return text + sse_done();
  }

  std::string text_;  ///< Of a stream only what was not sent yet.
  std::vector<TokenReport> reports_;
  std::size_t offset_ = 0;
};

}  // namespace

std::unique_ptr<ResponseEncoder> make_completion_encoder(ReplyOptions options, std::string echo) {
  return std::make_unique<Completion>(std::move(options), std::move(echo));
}

}  // namespace onnxlocal::openai
