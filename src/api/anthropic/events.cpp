#include "api/anthropic/events.h"

#include <chrono>
#include <cstdint>
#include <utility>

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

json::object output_details(const Usage& usage) {
  return {{"thinking_tokens", usage.thinking_tokens}};
}

json::object usage_object(const Usage& usage, const ReplyStyle& style) {
  const bool is_long = style.cache_ttl > std::chrono::minutes(5);
  const std::uint32_t created = usage.cache_creation_tokens;
  return {{"input_tokens", usage.input_tokens},
          {"output_tokens", usage.output_tokens},
          {"cache_creation_input_tokens", created},
          {"cache_read_input_tokens", usage.cache_read_tokens},
          {"cache_creation", json::object{{"ephemeral_5m_input_tokens", is_long ? 0 : created},
                                          {"ephemeral_1h_input_tokens", is_long ? created : 0}}},
          {"output_tokens_details", output_details(usage)},
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
          {"output_tokens_details", output_details(usage)},
          {"server_tool_use", nullptr}};
}

/// All of a message but its content, which stands last.
json::object message_object(const MessageIdentity& identity, const Usage& usage) {
  return {{"id", identity.id},       {"type", "message"},
          {"role", "assistant"},     {"model", identity.model},
          {"stop_reason", nullptr},  {"stop_sequence", nullptr},
          {"stop_details", nullptr}, {"container", nullptr},
          {"diagnostics", nullptr},  {"usage", usage_object(usage, identity.style)}};
}

std::string encode_change(BlockChange change) {
  switch (change.kind) {
    case BlockChange::Kind::kStart:
      return sse_event("content_block_start",
                       json::object{{"type", "content_block_start"},
                                    {"index", change.index},
                                    {"content_block", std::move(change.body)}});
    case BlockChange::Kind::kDelta:
      return sse_event("content_block_delta", json::object{{"type", "content_block_delta"},
                                                           {"index", change.index},
                                                           {"delta", std::move(change.body)}});
    case BlockChange::Kind::kStop: break;
  }
  return sse_event("content_block_stop",
                   json::object{{"type", "content_block_stop"}, {"index", change.index}});
}

std::string encode_end(const GenerationFinished& finished) {
  std::string text =
      sse_event("message_delta",
                json::object{{"type", "message_delta"},
                             {"delta", json::object{{"stop_reason", to_text(finished.reason)},
                                                    {"stop_sequence", stop_sequence(finished)},
                                                    {"stop_details", nullptr},
                                                    {"container", nullptr}}},
                             {"usage", delta_usage_object(finished.usage)}});
  text += sse_event("message_stop", json::object{{"type", "message_stop"}});
  return text;
}

}  // namespace

std::string StreamEncoder::start(const Usage& usage) {
  if (has_started_) return {};
  has_started_ = true;
  json::object message = message_object(identity_, usage);
  message["content"] = json::array{};
  return sse_event("message_start",
                   json::object{{"type", "message_start"}, {"message", std::move(message)}}) +
         ping();
}

std::string StreamEncoder::encode(const GenerationEvent& event) {
  if (const auto* started = std::get_if<GenerationStarted>(&event)) return start(started->usage);
  if (const auto* failed = std::get_if<GenerationFailed>(&event)) {
    return stream_error(failed->error, identity_.request_id);
  }
  std::string text;
  for (BlockChange& change : blocks_.take(event)) text += encode_change(std::move(change));
  if (const auto* finished = std::get_if<GenerationFinished>(&event)) text += encode_end(*finished);
  return text;
}

std::string StreamEncoder::ping() { return sse_event("ping", json::object{{"type", "ping"}}); }

std::string MessageBuilder::finish(const GenerationFinished& finished) {
  add(finished);
  json::object message = message_object(identity_, finished.usage);
  message["stop_reason"] = to_text(finished.reason);
  message["stop_sequence"] = stop_sequence(finished);
  std::string body = json::serialize(message);
  body.pop_back();
  body += R"(,"content":)";
  body += content_.to_json();
  body += '}';
  return body;
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
