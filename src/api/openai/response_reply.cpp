#include "api/openai/response_reply.h"

#include <fmt/format.h>

#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "api/openai/errors.h"
#include "api/sse.h"

namespace onnxlocal::openai {

namespace {

json::array array_of(json::object one) {
  json::array list;
  list.emplace_back(std::move(one));
  return list;
}

json::object usage_of(const Usage& usage) {
  return {
      {"input_tokens", usage.prompt_tokens()},
      {"input_tokens_details", json::object{{"cached_tokens", usage.cache_read_tokens},
                                            {"cache_write_tokens", usage.cache_creation_tokens}}},
      {"output_tokens", usage.output_tokens},
      {"output_tokens_details", json::object{{"reasoning_tokens", usage.thinking_tokens}}},
      {"total_tokens", usage.prompt_tokens() + usage.output_tokens}};
}

/// The item that is being written: what the model thinks, says or calls.
struct Item {
  enum class Kind { kReasoning, kMessage, kCall };
  Kind kind = Kind::kMessage;
  std::string id;
  std::string text;  ///< Or arguments.
  std::string call_id;
  std::string name;
  json::array logprobs;

  json::object part() const {
    if (kind == Kind::kReasoning) return {{"type", "reasoning_text"}, {"text", text}};
    return {{"type", "output_text"},
            {"text", text},
            {"annotations", json::array{}},
            {"logprobs", logprobs}};
  }

  json::object object(std::string_view status) const {
    switch (kind) {
      case Kind::kCall:
        return {{"id", id},          {"type", "function_call"}, {"status", status},
                {"arguments", text}, {"call_id", call_id},      {"name", name}};
      case Kind::kReasoning:
        return {{"id", id},
                {"type", "reasoning"},
                {"summary", json::array{}},
                {"content", text.empty() ? json::array{} : array_of(part())},
                {"status", status}};
      case Kind::kMessage: break;
    }
    return {{"id", id},
            {"type", "message"},
            {"status", status},
            {"role", "assistant"},
            {"content", text.empty() ? json::array{} : array_of(part())}};
  }
};

class Response final : public ReplyEncoder {
 public:
  Response(ReplyOptions options, json::object echo, ResponseSink finished)
      : ReplyEncoder(std::move(options)), echo_(std::move(echo)), finished_(std::move(finished)) {}

  std::string start_early(const Usage&) override { return start(); }

  std::string encode(const GenerationEvent& event) override {
    std::string bytes =
        std::visit([this](const auto& alternative) { return encode_one(alternative); }, event);
    return bytes;
  }

 private:
  json::object response(std::string_view status) const {
    json::object body{{"id", options().id},
                      {"object", "response"},
                      {"created_at", options().created_s},
                      {"status", status},
                      {"background", false},
                      {"error", nullptr},
                      {"incomplete_details", nullptr},
                      {"model", options().model},
                      {"output", output_},
                      {"usage", nullptr}};
    for (const auto& [name, value] : echo_) body[name] = value;
    return body;
  }

  /// Empty without a stream.
  std::string event(std::string_view name, json::object data) {
    if (!is_stream()) return {};
    json::object numbered{{"type", name}, {"sequence_number", sequence_++}};
    for (auto& [key, value] : data) numbered[key] = std::move(value);
    return sse_event(name, numbered);
  }

  std::string start() {
    if (std::exchange(has_started_, true)) return {};
    std::string bytes = event("response.created", {{"response", response("in_progress")}});
    bytes += event("response.in_progress", {{"response", response("in_progress")}});
    return bytes;
  }

  std::string encode_one(const GenerationStarted&) { return start(); }

  json::object place() const { return {{"item_id", item_->id}, {"output_index", output_.size()}}; }
  json::object part_place() const {
    json::object data = place();
    data["content_index"] = 0;
    return data;
  }

  std::string open(Item::Kind kind, std::string_view prefix, std::string call_id = {},
                   std::string name = {}) {
    if (item_ && item_->kind == kind && kind != Item::Kind::kCall) return {};
    std::string bytes = close("completed");
    item_ = Item{.kind = kind,
                 .id = fmt::format("{}_{}_{}", prefix, options().id, output_.size()),
                 .text = {},
                 .call_id = std::move(call_id),
                 .name = std::move(name),
                 .logprobs = {}};
    bytes += event("response.output_item.added",
                   {{"output_index", output_.size()}, {"item", item_->object("in_progress")}});
    if (kind == Item::Kind::kCall) return bytes;
    json::object data = part_place();
    data["part"] = item_->part();
    return bytes + event("response.content_part.added", std::move(data));
  }

  /// Ends the item that is open, if one is.
  std::string close(std::string_view status) {
    if (!item_) return {};
    std::string bytes = item_->kind == Item::Kind::kCall ? close_call() : close_part();
    json::object item = item_->object(status);
    bytes += event("response.output_item.done", {{"output_index", output_.size()}, {"item", item}});
    output_.emplace_back(std::move(item));
    item_.reset();
    return bytes;
  }

  std::string close_call() {
    json::object data = place();
    data["arguments"] = item_->text;
    data["name"] = item_->name;
    return event("response.function_call_arguments.done", std::move(data));
  }

  std::string close_part() {
    const bool is_message = item_->kind == Item::Kind::kMessage;
    json::object data = part_place();
    data["text"] = item_->text;
    if (is_message) data["logprobs"] = item_->logprobs;
    std::string bytes = event(
        is_message ? "response.output_text.done" : "response.reasoning_text.done", std::move(data));
    json::object done = part_place();
    done["part"] = item_->part();
    return bytes + event("response.content_part.done", std::move(done));
  }

  std::string encode_one(const GenerationDelta& delta) {
    json::array logprobs;
    if (options().has_logprobs) logprobs = logprobs_of(delta.tokens, options().detokenize);
    if (delta.text.empty() && logprobs.empty()) return {};
    std::string bytes = open(Item::Kind::kMessage, "msg");
    item_->text += delta.text;
    for (const json::value& token : logprobs) item_->logprobs.push_back(token);
    json::object data = part_place();
    data["delta"] = delta.text;
    data["logprobs"] = std::move(logprobs);
    return bytes + event("response.output_text.delta", std::move(data));
  }

  std::string encode_one(const ThinkingDelta& delta) {
    if (delta.text.empty()) return {};
    std::string bytes = open(Item::Kind::kReasoning, "rs");
    item_->text += delta.text;
    json::object data = part_place();
    data["delta"] = delta.text;
    return bytes + event("response.reasoning_text.delta", std::move(data));
  }

  std::string encode_one(const ToolUseStarted& call) {
    return open(Item::Kind::kCall, "fc", call_id(call.id), call.name);
  }

  std::string encode_one(const ToolInputDelta& delta) {
    if (delta.json.empty() || !item_ || item_->kind != Item::Kind::kCall) return {};
    item_->text += delta.json;
    json::object data = place();
    data["delta"] = delta.json;
    return event("response.function_call_arguments.delta", std::move(data));
  }

  std::string encode_one(const GenerationFinished& finished) {
    const bool is_whole = finish_reason(finished.reason) != "length";
    const std::string_view status = is_whole ? "completed" : "incomplete";
    std::string bytes = close(status);
    json::object body = response(status);
    body["usage"] = usage_of(finished.usage);
    if (!is_whole) body["incomplete_details"] = json::object{{"reason", "max_output_tokens"}};
    if (finished_) finished_(body);
    if (!is_stream()) return json::serialize(body);
    return bytes + event(is_whole ? "response.completed" : "response.incomplete",
                         {{"response", std::move(body)}});
  }

  std::string encode_one(const GenerationFailed& failed) {
    json::object body = response("failed");
    body["error"] = json::object{{"code", "server_error"}, {"message", describe(failed.error)}};
    return event("response.failed", {{"response", std::move(body)}});
  }

  json::object echo_;
  ResponseSink finished_;
  json::array output_;  ///< Items that are done.
  std::optional<Item> item_;
  bool has_started_ = false;
  std::int64_t sequence_ = 0;
};

}  // namespace

std::unique_ptr<ResponseEncoder> make_response_encoder(ReplyOptions options, json::object echo,
                                                       ResponseSink finished) {
  return std::make_unique<Response>(std::move(options), std::move(echo), std::move(finished));
}

}  // namespace onnxlocal::openai
