#include "api/anthropic/tools.h"

#include <fmt/format.h>

#include <set>
#include <string_view>

namespace onnxlocal::anthropic {

namespace {

Result<std::set<std::string_view>> check_definitions(const json::value& value) {
  const json::array* tools = value.if_array();
  if (tools == nullptr) {
    return std::unexpected(field_error("tools", "Input should be a valid list"));
  }
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < tools->size(); ++i) {
    TRY(const Fields tool, Fields::of((*tools)[i], fmt::format("tools.{}", i)));
    TRY(const std::string_view name, tool.require_text("name"));
    const json::value* type = tool.find("type");
    const bool is_custom = type == nullptr || *type == "custom";
    if (is_custom) {
      TRY(const json::value* schema, tool.require("input_schema"));
      TRY(const Fields fields, Fields::of(*schema, tool.path_of("input_schema")));
      static_cast<void>(fields);
    }
    if (!names.insert(name).second) {
      return std::unexpected(field_error(
          "tools", fmt::format("Tool names must be unique: '{}' is there twice", name)));
    }
  }
  return names;
}

}  // namespace

Result<void> check_tools(const Fields& request, std::vector<std::string>& notes) {
  std::set<std::string_view> names;
  if (const json::value* tools = request.find("tools")) {
    TRY(names, check_definitions(*tools));
    if (!names.empty()) {
      notes.push_back(fmt::format("{} tool definitions are ignored", names.size()));
    }
  }
  const json::value* value = request.find("tool_choice");
  if (value == nullptr) return {};
  TRY(const Fields choice, Fields::of(*value, "tool_choice"));
  TRY(const std::string_view type, choice.require_text("type"));
  if (type == "auto" || type == "none") return {};
  if (type == "tool") {
    TRY(const std::string_view name, choice.require_text("name"));
    if (!names.contains(name)) {
      return std::unexpected(field_error(
          "tool_choice.name", fmt::format("Tool '{}' not found in provided tools", name)));
    }
  }
  if (type == "any" || type == "tool") {
    return std::unexpected(field_error(
        "tool_choice.type",
        fmt::format("'{}' is not supported by this server: it cannot promise a tool call", type)));
  }
  return std::unexpected(
      field_error("tool_choice.type", "Input should be 'auto', 'any', 'tool' or 'none'"));
}

}  // namespace onnxlocal::anthropic
