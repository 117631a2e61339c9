#include "api/anthropic/tools.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "api/anthropic/cache_control.h"
#include "api/anthropic/limits.h"
#include "base/json.h"

namespace onnxlocal::anthropic {

namespace {

/// Types that Anthropic defines and runs, or whose schema only its models know; with dates behind.
constexpr std::array<std::string_view, 11> kAnthropicTools = {
    "bash_",     "text_editor_",     "memory_",  "web_search_", "web_fetch_", "code_execution_",
    "computer_", "tool_search_tool", "browser_", "mcp_toolset", "advisor_"};

Error refused_type(const Fields& tool, std::string_view type) {
  const bool is_anthropics = std::ranges::any_of(
      kAnthropicTools, [&](std::string_view prefix) { return type.starts_with(prefix); });
  if (is_anthropics) {
    return field_error(tool.path(),
                       fmt::format("`{}` is one of Anthropic's own tools, which this server does "
                                   "not have: define a custom tool with an `input_schema`",
                                   shown(type)));
  }
  return field_error(tool.path(),
                     fmt::format("Input tag '{}' found using 'type' does not match any of the "
                                 "expected tags: 'custom'",
                                 shown(type)));
}

Result<void> check_schema(const Fields& tool) {
  TRY(const Fields schema, tool.require_object("input_schema"));
  TRY(const std::string_view type, schema.require_text("type"));
  if (type == "object") return {};
  return std::unexpected(field_error(schema.path_of("type"), "Input should be 'object'"));
}

/// A tool that only a program of the model's could call is of no use: we run none.
Result<void> check_callers(const Fields& tool) {
  TRY(const json::array* callers, tool.list("allowed_callers", kToolsMax));
  if (callers == nullptr || std::ranges::find(*callers, json::value("direct")) != callers->end()) {
    return {};
  }
  return std::unexpected(
      field_error(tool.path_of("allowed_callers"),
                  "'direct' has to be among them: this server has no code execution tool"));
}

/// The description, and after it the examples that belong to no field of a model's tool format.
Result<std::string> parse_description(const Fields& tool, json::TextView text) {
  TRY(const auto written, tool.text("description"));
  std::string description(written.value_or(""));
  TRY(const json::array* examples, tool.list("input_examples", kToolsMax));
  if (examples == nullptr || examples->empty()) return description;
  if (!std::ranges::all_of(*examples, &json::value::is_object)) {
    return std::unexpected(
        field_error(tool.path_of("input_examples"), "Input should be a list of objects"));
  }
  if (!description.empty()) description += "\n\n";
  description += "Examples of its input:";
  const auto slices = text.member("input_examples");
  for (const json::TextView& example :
       slices ? slices->elements() : std::vector<json::TextView>()) {
    description += '\n';
    description += json::compact(example.text());
  }
  return description;
}

}  // namespace

bool is_name(std::string_view text, std::size_t bytes_max) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  return !text.empty() && text.size() <= bytes_max &&
         text.find_first_not_of(kAllowed) == std::string_view::npos;
}

Result<void> ToolList::add(const Fields& tool, json::TextView text) {
  TRY(const auto type, tool.text("type"));
  if (type && *type != "custom") return std::unexpected(refused_type(tool, *type));
  TRY(const std::string_view name, tool.require_text("name"));
  if (!is_name(name, kToolNameBytesMax)) {
    return std::unexpected(
        field_error(tool.path_of("name"), fmt::format("'{}' does not match ^[a-zA-Z0-9_-]{{1,{}}}$",
                                                      shown(name), kToolNameBytesMax)));
  }
  TRY_VOID(check_schema(tool));
  TRY_VOID(check_callers(tool));
  TRY(std::string description, parse_description(tool, text));
  TRY(const auto strict, tool.boolean("strict"));
  TRY(const auto deferred, tool.boolean("defer_loading"));
  TRY_VOID(tool.boolean("eager_input_streaming"));
  TRY(const auto ttl, parse_cache_control(tool));
  cache_ttl_ = std::max(cache_ttl_, ttl);
  cache_controls_ += ttl ? 1 : 0;
  const auto schema = text.member("input_schema");
  if (!indices_.emplace(name, tools_.size()).second) {
    return std::unexpected(
        field_error("tools", fmt::format("Tool names must be unique: '{}' is there twice", name)));
  }
  tools_.push_back({.name = std::string(name),
                    .description = std::move(description),
                    .input_schema = json::compact(schema ? schema->text() : "{}"),
                    .is_strict = strict.value_or(false),
                    .is_listed = !deferred.value_or(false)});
  return {};
}

Result<ToolList> ToolList::parse(const Fields& request, json::TextView body) {
  ToolList list;
  TRY(const json::array* tools, request.list("tools", kToolsMax));
  if (tools == nullptr || tools->empty()) return list;
  const auto written = body.member("tools");
  const auto slices = written ? written->elements() : std::vector<json::TextView>();
  for (std::size_t i = 0; i < tools->size(); ++i) {
    TRY(const Fields tool, Fields::of((*tools)[i], fmt::format("tools.{}", i)));
    TRY_VOID(list.add(tool, i < slices.size() ? slices[i] : json::TextView({})));
  }
  return list;
}

const ToolDefinition* ToolList::find(std::string_view name) const {
  const auto found = indices_.find(name);
  return found == indices_.end() ? nullptr : &tools_[found->second];
}

std::string ToolList::load(std::string_view name) {
  const auto found = indices_.find(name);
  if (found == indices_.end()) {
    return fmt::format("The tool \"{}\" is not there any more.", name);
  }
  if (!loaded_.insert(found->second).second) {
    return fmt::format("The tool \"{}\" can be called, as was said before.", name);
  }
  const ToolDefinition& tool = tools_[found->second];
  return fmt::format(
      "This tool can be called from now on:\n"
      R"({{"type": "function", "function": {{"name": {}, "description": {}, "parameters": {}}}}})",
      json::serialize(json::value(tool.name)), json::serialize(json::value(tool.description)),
      tool.input_schema);
}

std::vector<ToolDefinition> ToolList::callable() const {
  std::vector<ToolDefinition> callable;
  for (std::size_t i = 0; i < tools_.size(); ++i) {
    if (tools_[i].is_listed || loaded_.contains(i)) callable.push_back(tools_[i]);
  }
  return callable;
}

Result<ToolChoice> parse_tool_choice(const Fields& request, ToolList& tools) {
  ToolChoice parsed;
  TRY(const auto choice, request.object("tool_choice"));
  if (!choice) return parsed;
  TRY(const std::string_view type, choice->require_text("type"));
  TRY(const auto disabled, choice->boolean("disable_parallel_tool_use"));
  parsed.allows_parallel = !disabled.value_or(false);
  if (type == "auto") return parsed;
  if (type == "none") {
    parsed.mode = ToolChoice::Mode::kNone;
    return parsed;
  }
  if (type != "any" && type != "tool") {
    return std::unexpected(
        field_error("tool_choice.type", "Input should be 'auto', 'any', 'tool' or 'none'"));
  }
  parsed.mode = ToolChoice::Mode::kAny;
  if (type == "tool") {
    TRY(const std::string_view name, choice->require_text("name"));
    if (tools.find(name) == nullptr) {
      return std::unexpected(field_error(
          "tool_choice.name", fmt::format("Tool '{}' not found in provided tools", shown(name))));
    }
    parsed.mode = ToolChoice::Mode::kNamed;
    parsed.name = name;
    static_cast<void>(tools.load(name));
  }
  if (tools.callable().empty()) {
    return std::unexpected(field_error(
        "tool_choice", "it may only demand a call where `tools` has one that is not deferred"));
  }
  return parsed;
}

}  // namespace onnxlocal::anthropic
