#include "api/openai/response_request.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "api/openai/conversation.h"
#include "api/openai/tools.h"
#include "base/json_text.h"

namespace onnxlocal::openai {

namespace {

constexpr std::size_t kIncludedMax = 20;

Result<void> add_message(const Fields& item, Conversation& conversation) {
  TRY(const std::string_view role, item.require_text("role"));
  TRY(const json::value* content, item.require("content"));
  TRY(const std::string text, parse_content(content, item.path_of("content")));
  if (role == "system" || role == "developer") {
    conversation.add_system(text);
  } else if (role == "user") {
    conversation.add_user(text);
  } else if (role == "assistant") {
    conversation.add_assistant(text);
  } else {
    return std::unexpected(field_error(
        item.path_of("role"), "Input should be 'system', 'developer', 'user' or 'assistant'"));
  }
  return {};
}

/// What the model thought: the text of `content`, else nothing.
Result<void> add_reasoning(const Fields& item, Conversation& conversation) {
  TRY(const json::array* parts, item.list("content", std::numeric_limits<std::size_t>::max()));
  if (parts == nullptr) return {};
  for (std::size_t i = 0; i < parts->size(); ++i) {
    TRY(const Fields part,
        Fields::of((*parts)[i], fmt::format("{}.{}", item.path_of("content"), i)));
    TRY(const std::string_view text, part.require_text("text"));
    conversation.add_thinking(text);
  }
  return {};
}

Result<void> add_item(const Fields& item, Conversation& conversation) {
  TRY(const auto asked, item.text("type"));
  const std::string_view type = asked.value_or("message");
  if (type == "message") return add_message(item, conversation);
  if (type == "reasoning") return add_reasoning(item, conversation);
  if (type == "function_call") {
    TRY(const std::string_view id, item.require_text("call_id"));
    TRY(const std::string_view name, item.require_text("name"));
    TRY(const auto arguments, item.text("arguments"));
    return conversation.add_call(id, name, arguments.value_or(""), item.path_of("arguments"));
  }
  if (type == "function_call_output") {
    TRY(const std::string_view id, item.require_text("call_id"));
    TRY(const json::value* output, item.require("output"));
    TRY(const std::string text, parse_content(output, item.path_of("output")));
    conversation.add_call_result(id, text);
    return {};
  }
  return std::unexpected(field_error(
      item.path_of("type"), fmt::format("items of the type '{}' are not supported", type)));
}

Result<void> add_items(const json::array& items, std::string_view path,
                       Conversation& conversation) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    TRY(const Fields item, Fields::of(items[i], fmt::format("{}.{}", path, i)));
    TRY_VOID(add_item(item, conversation));
  }
  return {};
}

Result<json::array> parse_input(const Fields& request) {
  TRY(const json::value* input, request.require("input"));
  if (const json::array* items = input->if_array()) {
    if (items->empty()) return std::unexpected(field_error("input", "at least one is required"));
    return *items;
  }
  if (!input->is_string()) {
    return std::unexpected(field_error("input", "Input should be a valid string or a list"));
  }
  json::array items;
  items.emplace_back(
      json::object{{"type", "message"}, {"role", "user"}, {"content", input->get_string()}});
  return items;
}

Result<void> parse_text_format(const Fields& request, const json::TextView& body,
                               GenerationRequest& generation) {
  TRY(const auto text, request.object("text"));
  if (!text) return {};
  TRY(const auto format, text->object("format"));
  if (!format) return {};
  const auto own = body.member("text");
  const auto own_format = own ? own->member("format") : std::nullopt;
  TRY(generation.output_format,
      parse_output_format(*format, own_format.value_or(json::TextView("{}")), ToolShape::kFlat));
  return {};
}

/// Log-probabilities come where `include` names them.
Result<void> parse_logprobs(const Fields& request, SamplingOptions& sampling) {
  TRY(const auto alternatives, parse_alternatives(request, "top_logprobs"));
  TRY(const json::array* include, request.list("include", kIncludedMax));
  bool is_asked = alternatives.value_or(0) > 0;
  if (include != nullptr) {
    for (const json::value& name : *include) {
      is_asked = is_asked || name == "message.output_text.logprobs";
    }
  }
  if (is_asked) sampling.logprobs = alternatives.value_or(0);
  return {};
}

/// Fields that a response repeats as they came, and what it says where they did not come.
json::object echo_of(const json::object& request) {
  struct Default {
    std::string_view name;
    json::value value;
  };
  const std::array<Default, 14> defaults = {
      {{"instructions", nullptr},
       {"max_output_tokens", nullptr},
       {"metadata", json::object{}},
       {"parallel_tool_calls", true},
       {"previous_response_id", nullptr},
       {"reasoning", json::object{{"effort", nullptr}, {"summary", nullptr}}},
       {"store", true},
       {"temperature", nullptr},
       {"text", json::object{{"format", json::object{{"type", "text"}}}}},
       {"tool_choice", "auto"},
       {"tools", json::array{}},
       {"top_p", nullptr},
       {"truncation", "disabled"},
       {"user", nullptr}}};
  json::object echo;
  for (const Default& one : defaults) {
    const json::value* own = request.if_contains(one.name);
    echo[one.name] = own == nullptr || own->is_null() ? one.value : *own;
  }
  return echo;
}

}  // namespace

Result<ResponseRequest> parse_response_request(std::string_view body) {
  TRY(const json::value value, json::parse(body));
  TRY(const Fields request, Fields::of(value, {}));
  ResponseRequest parsed;
  GenerationRequest& generation = parsed.generation;
  TRY_VOID(parse_sampling(request, generation));
  parsed.model = generation.model;
  TRY_VOID(refuse_fields(request, {"conversation", "prompt"}));
  TRY(const auto in_background, request.boolean("background"));
  if (in_background.value_or(false)) TRY_VOID(refuse_fields(request, {"background"}));
  TRY(const auto previous, request.text("previous_response_id"));
  parsed.previous_response_id = previous.value_or("");
  TRY(const auto instructions, request.text("instructions"));
  parsed.instructions = instructions.value_or("");
  TRY(parsed.input, parse_input(request));
  TRY(generation.tokens_max, parse_tokens_max(request, {"max_output_tokens"}));
  TRY(const auto reasoning, request.object("reasoning"));
  if (reasoning) {
    TRY(generation.thinking, parse_effort(*reasoning, "effort"));
  }
  TRY(const auto stream, request.boolean("stream"));
  parsed.stream = stream.value_or(false);
  TRY(const auto store, request.boolean("store"));
  parsed.store = store.value_or(true);
  TRY_VOID(parse_logprobs(request, generation.sampling));
  const json::TextView text(body);
  TRY_VOID(parse_tools(request, text, ToolShape::kFlat, generation));
  TRY_VOID(parse_text_format(request, text, generation));
  parsed.echo = echo_of(value.get_object());
  return parsed;
}

Result<std::vector<Message>> conversation_of(std::string_view instructions,
                                             const json::array& earlier, const json::array& input) {
  Conversation conversation;
  if (!instructions.empty()) conversation.add_system(instructions);
  TRY_VOID(add_items(earlier, "previous_response", conversation));
  TRY_VOID(add_items(input, "input", conversation));
  if (conversation.is_empty()) {
    return std::unexpected(field_error("input", "at least one message is required"));
  }
  return conversation.finish();
}

}  // namespace onnxlocal::openai
