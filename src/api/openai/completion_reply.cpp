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

/// One answer so far.
struct Answer {
  std::string text;  ///< Of a stream only what was not sent yet.
  std::vector<TokenReport> reports;
  std::size_t offset = 0;  ///< Characters, over all pieces.
  StopReason reason = StopReason::kEndOfTurn;
};

class Completion final : public ReplyEncoder {
 public:
  Completion(ReplyOptions options, CompletionAnswers answers)
      : ReplyEncoder(std::move(options)), log_(std::move(answers.log)), each_(answers.each) {
    for (std::string& echo : answers.echoes) {
      answers_.push_back({.text = std::move(echo), .reports = {}});
    }
  }

  std::string start_early(const Usage&) override { return start(); }

  std::string encode(const GenerationEvent& event) override {
    std::string bytes = is_stream() ? start() : std::string();
    for (const AnswerEvent& one : log_->take_all()) bytes += encode_one(one);
    if (std::holds_alternative<GenerationFinished>(event)) return bytes + finish();
    const auto* failed = std::get_if<GenerationFailed>(&event);
    if (failed == nullptr || !is_stream()) return bytes;
    return bytes + sse_data_text(error_body(failed->error)) + sse_done();
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

  json::object choice(std::uint32_t index, std::string_view text,
                      std::span<const TokenReport> reports, json::value reason) {
    json::object choice{{"text", text}, {"index", index}, {"logprobs", nullptr}};
    if (options().has_logprobs) choice["logprobs"] = logprobs(answers_[index], reports);
    choice["finish_reason"] = std::move(reason);
    return choice;
  }

  /// Four lists of one length. Offsets go on over the pieces of a stream.
  json::object logprobs(Answer& answer, std::span<const TokenReport> reports) {
    json::array tokens;
    json::array chosen;
    json::array alternatives;
    json::array offsets;
    for (const TokenReport& report : reports) {
      const std::string text = options().detokenize(std::span(&report.chosen.token, 1));
      tokens.emplace_back(text);
      chosen.emplace_back(report.chosen.logprob);
      offsets.emplace_back(answer.offset);
      answer.offset += count_characters(text);
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

  /// The echoes, once.
  std::string start() {
    std::string bytes;
    for (std::uint32_t i = 0; i < answers_.size(); ++i) {
      const std::string echo = std::exchange(answers_[i].text, {});
      if (!echo.empty()) bytes += piece(choice(i, echo, {}, nullptr));
    }
    return bytes;
  }

  std::string encode_one(const AnswerEvent& one) {
    if (const auto* delta = std::get_if<GenerationDelta>(&one.event)) {
      return add(one.answer, *delta);
    }
    if (const auto* finished = std::get_if<GenerationFinished>(&one.event)) {
      return end(one.answer, *finished);
    }
    return {};
  }

  std::string add(std::uint32_t index, const GenerationDelta& delta) {
    if (!is_stream()) {
      Answer& answer = answers_[index];
      answer.text += delta.text;
      answer.reports.insert(answer.reports.end(), delta.tokens.begin(), delta.tokens.end());
      return {};
    }
    if (delta.text.empty() && !(options().has_logprobs && !delta.tokens.empty())) return {};
    return piece(choice(index, delta.text, delta.tokens, nullptr));
  }

  std::string end(std::uint32_t index, const GenerationFinished& finished) {
    usage_.output_tokens += finished.usage.output_tokens;
    if (index % each_ == 0) {
      usage_.input_tokens += finished.usage.input_tokens;
      usage_.cache_read_tokens += finished.usage.cache_read_tokens;
      usage_.cache_creation_tokens += finished.usage.cache_creation_tokens;
    }
    answers_[index].reason = finished.reason;
    if (!is_stream()) return {};
    return piece(choice(index, {}, {}, json::value(finish_reason(finished.reason))));
  }

  std::string finish() {
    if (is_stream()) {
      if (!options().include_usage) return sse_done();
      json::object last = frame({});
      last["usage"] = usage_object(usage_);
      return sse_data(last) + sse_done();
    }
    json::array choices;
    for (std::uint32_t i = 0; i < answers_.size(); ++i) {
      const Answer& answer = answers_[i];
      choices.emplace_back(
          choice(i, answer.text, answer.reports, json::value(finish_reason(answer.reason))));
    }
    json::object body = frame(std::move(choices));
    body["usage"] = usage_object(usage_);
    return json::serialize(body);
  }

  const std::shared_ptr<AnswerLog> log_;
  const std::uint32_t each_;
  std::vector<Answer> answers_;
  Usage usage_;  ///< Of all answers that ended.
};

}  // namespace

std::unique_ptr<ResponseEncoder> make_completion_encoder(ReplyOptions options,
                                                         CompletionAnswers answers) {
  return std::make_unique<Completion>(std::move(options), std::move(answers));
}

}  // namespace onnxlocal::openai
