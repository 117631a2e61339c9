#include "api/anthropic/events.h"

#include "api/anthropic/errors.h"
#include "api/sse.h"
#include "base/json.h"

namespace onnxlocal::anthropic {

namespace {

std::string_view to_text(StopReason reason) {
  switch (reason) {
    case StopReason::kEndOfTurn: return "end_turn";
    case StopReason::kTokensMax: return "max_tokens";
    case StopReason::kStopString: return "stop_sequence";
    case StopReason::kContextFull: return "model_context_window_exceeded";
    case StopReason::kToolUse: return "tool_use";
  }
  return "end_turn";
}

json::value stop_sequence(const GenerationFinished& finished) {
  if (finished.reason != StopReason::kStopString) return nullptr;
  return json::value(finished.stop_string);
}

json::object usage_object(const Usage& usage) {
  return {
      {"input_tokens", usage.input_tokens},
      {"output_tokens", usage.output_tokens},
      {"cache_creation_input_tokens", usage.cache_creation_tokens},
      {"cache_read_input_tokens", usage.cache_read_tokens},
      {"cache_creation", json::object{{"ephemeral_5m_input_tokens", usage.cache_creation_tokens},
                                      {"ephemeral_1h_input_tokens", 0}}},
      {"output_tokens_details", json::object{{"thinking_tokens", 0}}},
      {"server_tool_use", nullptr},
      {"service_tier", "standard"},
      {"inference_geo", nullptr},
      {"speed", nullptr}};
}

json::object delta_usage_object(const Usage& usage) {
  return {{"output_tokens", usage.output_tokens},
          {"input_tokens", usage.input_tokens},
          {"cache_creation_input_tokens", usage.cache_creation_tokens},
          {"cache_read_input_tokens", usage.cache_read_tokens},
          {"output_tokens_details", nullptr},
          {"server_tool_use", nullptr}};
}

json::object message_object(const MessageIdentity& identity, json::array content,
                            const Usage& usage) {
  return {{"id", identity.id},
          {"type", "message"},
          {"role", "assistant"},
          {"model", identity.model},
          {"content", std::move(content)},
          {"stop_reason", nullptr},
          {"stop_sequence", nullptr},
          {"stop_details", nullptr},
          {"container", nullptr},
          {"diagnostics", nullptr},
          {"usage", usage_object(usage)}};
}

json::object text_block(std::string_view text) {
  return {{"type", "text"}, {"text", text}, {"citations", nullptr}};
}

std::string block_stop() {
  return sse_event("content_block_stop",
                   json::object{{"type", "content_block_stop"}, {"index", 0}});
}

}  // namespace

std::string StreamEncoder::start_early(std::uint32_t prompt_tokens) {
  return encode_one(GenerationStarted{.usage = {.input_tokens = prompt_tokens}});
}

std::string StreamEncoder::encode(const GenerationEvent& event) {
  return std::visit(
      [this]<class Event>(const Event& alternative) -> std::string {
        if constexpr (requires { encode_one(alternative); }) {
          return encode_one(alternative);
        } else {
          return {};
        }
      },
      event);
}

std::string StreamEncoder::ping() { return sse_event("ping", json::object{{"type", "ping"}}); }

std::string StreamEncoder::encode_one(const GenerationStarted& started) {
  if (has_started_) return {};
  has_started_ = true;
  return sse_event("message_start",
                   json::object{{"type", "message_start"},
                                {"message", message_object(identity_, {}, started.usage)}}) +
         ping();
}

std::string StreamEncoder::encode_one(const GenerationDelta& delta) {
  if (delta.text.empty()) return {};
  std::string text;
  if (!has_block_) {
    has_block_ = true;
    text = sse_event("content_block_start", json::object{{"type", "content_block_start"},
                                                         {"index", 0},
                                                         {"content_block", text_block("")}});
  }
  return text +
         sse_event(
             "content_block_delta",
             json::object{{"type", "content_block_delta"},
                          {"index", 0},
                          {"delta", json::object{{"type", "text_delta"}, {"text", delta.text}}}});
}

std::string StreamEncoder::encode_one(const GenerationFinished& finished) {
  std::string text = has_block_ ? block_stop() : std::string();
  text += sse_event("message_delta",
                    json::object{{"type", "message_delta"},
                                 {"delta", json::object{{"stop_reason", to_text(finished.reason)},
                                                        {"stop_sequence", stop_sequence(finished)},
                                                        {"stop_details", nullptr},
                                                        {"container", nullptr}}},
                                 {"usage", delta_usage_object(finished.usage)}});
  return text + sse_event("message_stop", json::object{{"type", "message_stop"}});
}

std::string StreamEncoder::encode_one(const GenerationFailed& failed) {
  return stream_error(failed.error, identity_.request_id);
}

std::string MessageBuilder::finish(const GenerationFinished& finished) const {
  json::array content;
  if (!text_.empty()) content.push_back(text_block(text_));
  json::object message = message_object(identity_, std::move(content), finished.usage);
  message["stop_reason"] = to_text(finished.reason);
  message["stop_sequence"] = stop_sequence(finished);
  return json::serialize(message);
}

std::string count_tokens_body(std::uint32_t tokens) {
  return json::serialize(json::object{{"input_tokens", tokens}, {"context_management", nullptr}});
}

std::string stream_error(const Error& error, std::string_view request_id) {
  const json::object body{{"type", "error"},
                          {"error", json::object{{"type", to_http_error(error.code).type},
                                                 {"message", describe(error)}}},
                          {"request_id", request_id}};
  return sse_event("error", body);
}

}  // namespace onnxlocal::anthropic
