#include "api/openai/tools.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace onnxlocal::openai {

namespace {

constexpr std::size_t kToolsMax = 1024;
constexpr std::size_t kNameBytesMax = 64;
constexpr std::string_view kNoParameters = R"({"type":"object","properties":{}})";

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

bool has_tool(const std::vector<ToolDefinition>& tools, std::string_view name) {
  return std::ranges::find(tools, name, &ToolDefinition::name) != tools.end();
}

/// The client's own text of a schema; `fallback` where there is none.
Result<std::string> parse_schema(const Fields& owner, const json::TextView& text,
                                 std::string_view name, std::string_view fallback) {
  TRY(const auto schema, owner.object(name));
  if (!schema) return std::string(fallback);
  const auto own = text.member(name);
  return std::string(own ? own->text() : fallback);
}

Result<ToolDefinition> parse_function(const Fields& function, const json::TextView& text) {
  ToolDefinition tool;
  TRY(const std::string_view name, function.require_text("name"));
  if (!is_name(name)) {
    return std::unexpected(field_error(
        function.path_of("name"),
        fmt::format("Input should be 1 to {} letters, digits, '_' or '-'", kNameBytesMax)));
  }
  tool.name = name;
  TRY(const auto description, function.text("description"));
  tool.description = description.value_or("");
  TRY(tool.input_schema, parse_schema(function, text, "parameters", kNoParameters));
  TRY(const auto is_strict, function.boolean("strict"));
  tool.is_strict = is_strict.value_or(false);
  return tool;
}

Result<ToolDefinition> parse_tool(const Fields& tool, const json::TextView& text, ToolShape shape) {
  TRY(const std::string_view type, tool.require_text("type"));
  if (type != "function") {
    return std::unexpected(field_error(
        tool.path_of("type"),
        fmt::format("tools of the type '{}' are not supported by this server, only 'function'",
                    type)));
  }
  if (shape == ToolShape::kFlat) return parse_function(tool, text);
  TRY(const Fields function, tool.require_object("function"));
  return parse_function(function, text.member("function").value_or(json::TextView("{}")));
}

Result<std::vector<ToolDefinition>> parse_definitions(const Fields& request,
                                                      const json::TextView& body, ToolShape shape) {
  std::vector<ToolDefinition> tools;
  TRY(const json::array* list, request.list("tools", kToolsMax));
  if (list == nullptr) return tools;
  const auto own = body.member("tools");
  const std::vector<json::TextView> texts = own ? own->elements() : std::vector<json::TextView>();
  for (std::size_t i = 0; i < list->size(); ++i) {
    TRY(const Fields fields, Fields::of((*list)[i], fmt::format("tools.{}", i)));
    TRY(ToolDefinition tool,
        parse_tool(fields, i < texts.size() ? texts[i] : json::TextView("{}"), shape));
    if (has_tool(tools, tool.name)) {
      return std::unexpected(
          field_error(fields.path(), fmt::format("the name '{}' is there twice", tool.name)));
    }
    tools.push_back(std::move(tool));
  }
  return tools;
}

Result<ToolChoice> parse_named_choice(const Fields& choice, ToolShape shape,
                                      const std::vector<ToolDefinition>& tools) {
  TRY(const std::string_view type, choice.require_text("type"));
  if (type != "function") {
    return std::unexpected(
        field_error(choice.path_of("type"),
                    fmt::format("'{}' is not supported by this server, only 'function'", type)));
  }
  std::string_view name;
  if (shape == ToolShape::kFlat) {
    TRY(name, choice.require_text("name"));
  } else {
    TRY(const Fields function, choice.require_object("function"));
    TRY(name, function.require_text("name"));
  }
  if (!has_tool(tools, name)) {
    return std::unexpected(
        field_error("tool_choice", fmt::format("no tool has the name '{}'", name)));
  }
  return ToolChoice{.mode = ToolChoice::Mode::kNamed, .name = std::string(name)};
}

Result<ToolChoice> parse_choice(const Fields& request, ToolShape shape,
                                const std::vector<ToolDefinition>& tools) {
  const json::value* value = request.find("tool_choice");
  if (value == nullptr || *value == "auto") return ToolChoice{};
  if (*value == "none") return ToolChoice{.mode = ToolChoice::Mode::kNone, .name = {}};
  if (*value == "required") {
    if (tools.empty()) {
      return std::unexpected(field_error("tool_choice", "'required' needs tools"));
    }
    return ToolChoice{.mode = ToolChoice::Mode::kAny, .name = {}};
  }
  if (value->is_string()) {
    return std::unexpected(field_error(
        "tool_choice", "Input should be 'none', 'auto', 'required' or name a function"));
  }
  TRY(const Fields choice, Fields::of(*value, "tool_choice"));
  return parse_named_choice(choice, shape, tools);
}

}  // namespace

Result<void> parse_tools(const Fields& request, json::TextView body, ToolShape shape,
                         GenerationRequest& generation) {
  TRY(generation.tools, parse_definitions(request, body, shape));
  TRY(generation.tool_choice, parse_choice(request, shape, generation.tools));
  TRY(const auto is_parallel, request.boolean("parallel_tool_calls"));
  generation.tool_choice.allows_parallel = is_parallel.value_or(true);
  return {};
}

Result<OutputFormat> parse_output_format(const Fields& format, json::TextView text,
                                         ToolShape shape) {
  TRY(const std::string_view type, format.require_text("type"));
  if (type == "text") return OutputFormat{};
  if (type == "json_object") {
    return OutputFormat{.kind = OutputFormat::Kind::kJsonObject, .schema = {}};
  }
  if (type != "json_schema") {
    return std::unexpected(field_error(format.path_of("type"),
                                       "Input should be 'text', 'json_object' or 'json_schema'"));
  }
  OutputFormat parsed{.kind = OutputFormat::Kind::kJsonSchema, .schema = {}};
  if (shape == ToolShape::kFlat) {
    TRY_VOID(format.require("schema"));
    TRY(parsed.schema, parse_schema(format, text, "schema", "{}"));
    return parsed;
  }
  TRY(const Fields described, format.require_object("json_schema"));
  TRY_VOID(described.require("schema"));
  TRY(parsed.schema,
      parse_schema(described, text.member("json_schema").value_or(json::TextView("{}")), "schema",
                   "{}"));
  return parsed;
}

}  // namespace onnxlocal::openai
