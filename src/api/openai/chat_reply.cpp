#include "api/openai/chat_reply.h"

#include <utility>
#include <variant>
#include <vector>

#include "api/openai/errors.h"
#include "api/sse.h"

namespace onnxlocal::openai {

namespace {

class ChatStream final : public ReplyEncoder {
 public:
  using ReplyEncoder::ReplyEncoder;

  std::string start_early(const Usage&) override { return start(); }
  std::string encode(const GenerationEvent& event) override {
    return std::visit([this](const auto& alternative) { return encode_one(alternative); }, event);
  }

 private:
  std::string start() {
    if (std::exchange(has_started_, true)) return {};
    return chunk({{"role", "assistant"}, {"content", ""}});
  }

  json::object frame(json::array choices) const {
    json::object body{{"id", options().id},
                      {"object", "chat.completion.chunk"},
                      {"created", options().created_s},
                      {"model", options().model},
                      {"system_fingerprint", nullptr},
                      {"choices", std::move(choices)}};
    if (options().include_usage) body["usage"] = nullptr;
    return body;
  }

  std::string chunk(json::object delta, json::value logprobs = nullptr,
                    json::value reason = nullptr) const {
    return sse_data(frame({json::object{{"index", 0},
                                        {"delta", std::move(delta)},
                                        {"logprobs", std::move(logprobs)},
                                        {"finish_reason", std::move(reason)}}}));
  }

  std::string encode_one(const GenerationStarted&) { return start(); }

  std::string encode_one(const GenerationDelta& delta) const {
    json::value logprobs;
    if (options().has_logprobs && !delta.tokens.empty()) {
      logprobs = json::object{{"content", logprobs_of(delta.tokens, options().detokenize)},
                              {"refusal", nullptr}};
    }
    if (delta.text.empty() && logprobs.is_null()) return {};
    return chunk({{"content", delta.text}}, std::move(logprobs));
  }

  std::string encode_one(const ThinkingDelta& delta) const {
    if (delta.text.empty()) return {};
    return chunk({{"reasoning_content", delta.text}});
  }

  std::string encode_one(const ToolUseStarted& call) {
    ++calls_;
    return call_chunk({{"index", calls_ - 1},
                       {"id", call_id(call.id)},
                       {"type", "function"},
                       {"function", json::object{{"name", call.name}, {"arguments", ""}}}});
  }

  std::string encode_one(const ToolInputDelta& delta) const {
    if (delta.json.empty()) return {};
    return call_chunk(
        {{"index", calls_ - 1}, {"function", json::object{{"arguments", delta.json}}}});
  }

  std::string call_chunk(json::object call) const {
    return chunk({{"tool_calls", json::array{std::move(call)}}});
  }

  std::string encode_one(const GenerationFinished& finished) const {
    std::string text = chunk({}, nullptr, json::value(finish_reason(finished.reason)));
    if (options().include_usage) {
      json::object last = frame({});
      last["usage"] = usage_object(finished.usage);
      text += sse_data(last);
    }
    return text + sse_done();
  }

  std::string encode_one(const GenerationFailed& failed) const {
    return sse_data_text(error_body(failed.error)) + sse_done();
  }

  bool has_started_ = false;
  std::int64_t calls_ = 0;
};

class ChatBody final : public ReplyEncoder {
 public:
  using ReplyEncoder::ReplyEncoder;

  std::string start_early(const Usage&) override { return {}; }
  std::string encode(const GenerationEvent& event) override {
    if (const auto* finished = std::get_if<GenerationFinished>(&event)) return finish(*finished);
    if (const auto* delta = std::get_if<GenerationDelta>(&event)) {
      text_ += delta->text;
      reports_.insert(reports_.end(), delta->tokens.begin(), delta->tokens.end());
    } else if (const auto* thinking = std::get_if<ThinkingDelta>(&event)) {
      thinking_ += thinking->text;
    } else if (const auto* call = std::get_if<ToolUseStarted>(&event)) {
      calls_.push_back({.id = call_id(call->id), .name = call->name, .arguments = {}});
    } else if (const auto* input = std::get_if<ToolInputDelta>(&event)) {
      if (!calls_.empty()) calls_.back().arguments += input->json;
    }
    return {};
  }

 private:
  struct Call {
    std::string id;
    std::string name;
    std::string arguments;
  };

  json::object message() const {
    json::object message{{"role", "assistant"}, {"content", text_}, {"refusal", nullptr}};
    if (text_.empty() && !calls_.empty()) message["content"] = nullptr;
    if (!thinking_.empty()) message["reasoning_content"] = thinking_;
    if (calls_.empty()) return message;
    json::array calls;
    for (const Call& call : calls_) {
      calls.push_back(json::object{
          {"id", call.id},
          {"type", "function"},
          {"function", json::object{{"name", call.name}, {"arguments", call.arguments}}}});
    }
    message["tool_calls"] = std::move(calls);
    return message;
  }

  std::string finish(const GenerationFinished& finished) const {
    json::object choice{{"index", 0},
                        {"message", message()},
                        {"logprobs", nullptr},
                        {"finish_reason", finish_reason(finished.reason)}};
    if (options().has_logprobs) {
      choice["logprobs"] = json::object{{"content", logprobs_of(reports_, options().detokenize)},
                                        {"refusal", nullptr}};
    }
    return json::serialize(json::object{{"id", options().id},
                                        {"object", "chat.completion"},
                                        {"created", options().created_s},
                                        {"model", options().model},
                                        {"system_fingerprint", nullptr},
                                        {"choices", json::array{std::move(choice)}},
                                        {"usage", usage_object(finished.usage)}});
  }

  std::string text_;
  std::string thinking_;
  std::vector<Call> calls_;
  std::vector<TokenReport> reports_;
};

}  // namespace

std::unique_ptr<ResponseEncoder> make_chat_encoder(ReplyOptions options) {
  if (options.is_stream) return std::make_unique<ChatStream>(std::move(options));
  return std::make_unique<ChatBody>(std::move(options));
}

}  // namespace onnxlocal::openai
