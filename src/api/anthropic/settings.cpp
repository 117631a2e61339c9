#include "api/anthropic/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "api/anthropic/limits.h"
#include "api/common_sampling.h"
#include "base/json.h"

namespace onnxlocal::anthropic {

namespace {

constexpr double kTemperatureMax = 1;
constexpr std::string_view kWhitespace = " \t\r\n\f\v";
constexpr std::array<std::string_view, 5> kEfforts = {"low", "medium", "high", "xhigh", "max"};

Result<ThinkingDisplay> parse_display(const Fields& thinking) {
  TRY(const auto display, thinking.text("display"));
  if (!display || *display == "summarized") return ThinkingDisplay::kShown;
  // Updates are short notes about thinking that is not shown; local models write none.
  if (*display == "omitted" || *display == "updates") return ThinkingDisplay::kOmitted;
  return std::unexpected(field_error(thinking.path_of("display"),
                                     "Input should be 'summarized', 'omitted' or 'updates'"));
}

Result<std::uint32_t> parse_budget(const Fields& thinking, std::optional<std::uint32_t> tokens_max,
                                   bool is_interleaved) {
  TRY_VOID(thinking.require("budget_tokens"));
  TRY(const auto budget, thinking.whole_number("budget_tokens", kThinkingTokensLeast));
  if (!is_interleaved && tokens_max && *budget >= *tokens_max) {
    return std::unexpected(
        field_error("max_tokens", "`max_tokens` must be greater than `thinking.budget_tokens`"));
  }
  return *budget;
}

Result<OutputFormat> parse_format(const Fields& format, std::optional<json::TextView> text) {
  TRY(const std::string_view type, format.require_text("type"));
  if (type != "json_schema") {
    return std::unexpected(field_error(format.path_of("type"), "Input should be 'json_schema'"));
  }
  TRY_VOID(format.require_object("schema"));
  const auto schema = text ? text->member("schema") : std::nullopt;
  return OutputFormat{.kind = OutputFormat::Kind::kJsonSchema,
                      .schema = json::compact(schema ? schema->text() : "{}")};
}

}  // namespace

Result<void> parse_sampling(const Fields& request, SamplingOptions& sampling) {
  return parse_common_sampling(request, kTemperatureMax, sampling);
}

Result<std::vector<std::string>> parse_stop_sequences(const Fields& request) {
  std::vector<std::string> sequences;
  TRY(const json::array* list, request.list("stop_sequences", kStopSequencesMax));
  if (list == nullptr) return sequences;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto* text = (*list)[i].if_string();
    if (text == nullptr) {
      return std::unexpected(
          field_error(fmt::format("stop_sequences.{}", i), "Input should be a valid string"));
    }
    if (std::string_view(*text).find_first_not_of(kWhitespace) == std::string_view::npos) {
      return std::unexpected(
          field_error("stop_sequences", "each stop sequence must contain non-whitespace"));
    }
    sequences.emplace_back(*text);
  }
  return sequences;
}

Result<Thinking> parse_thinking(const Fields& request, std::optional<std::uint32_t> tokens_max,
                                bool is_interleaved) {
  Thinking parsed;
  TRY(const auto thinking, request.object("thinking"));
  if (!thinking) return parsed;
  TRY(const std::string_view type, thinking->require_text("type"));
  TRY(parsed.display, parse_display(*thinking));
  if (type == "enabled") {
    parsed.options.mode = ThinkingOptions::Mode::kEnabled;
    TRY(parsed.options.tokens_max, parse_budget(*thinking, tokens_max, is_interleaved));
  } else if (type == "adaptive") {
    parsed.options.mode = ThinkingOptions::Mode::kAdaptive;
  } else if (type == "disabled" || type == "between_tools") {
    // Between tools there are short notes and no thinking; local models write none.
    parsed.options.mode = ThinkingOptions::Mode::kDisabled;
  } else {
    return std::unexpected(field_error(
        "thinking.type", "Input should be 'enabled', 'adaptive', 'disabled' or 'between_tools'"));
  }
  return parsed;
}

Result<OutputFormat> parse_output_format(const Fields& request, json::TextView body) {
  OutputFormat parsed;
  TRY(const auto config, request.object("output_config"));
  TRY(const auto older, request.object("output_format"));
  const auto config_text = body.member("output_config");
  if (config) {
    TRY(const auto effort, config->text("effort"));
    if (effort && std::ranges::find(kEfforts, *effort) == kEfforts.end()) {
      return std::unexpected(field_error(
          "output_config.effort", "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'"));
    }
    TRY(const auto format, config->object("format"));
    if (format && older) {
      return std::unexpected(
          field_error("output_format", "it cannot be given beside `output_config.format`"));
    }
    if (format)
      return parse_format(*format, config_text ? config_text->member("format") : config_text);
  }
  if (older) return parse_format(*older, body.member("output_format"));
  return parsed;
}

Result<void> check_unsupported(const Fields& request) {
  TRY(const json::array* servers, request.list("mcp_servers", kToolsMax));
  if (servers != nullptr && !servers->empty()) {
    return std::unexpected(
        field_error("mcp_servers",
                    "this server connects to no MCP servers: let the client do it, and send "
                    "their tools in `tools`"));
  }
  if (request.find("container") != nullptr) {
    return std::unexpected(field_error(
        "container", "this server has no code execution, and so no containers and no skills"));
  }
  return {};
}

Result<std::string> parse_agent(const Fields& request) {
  TRY(const auto metadata, request.object("metadata"));
  if (!metadata) return std::string();
  TRY(const auto user_id, metadata->text("user_id"));
  std::string_view agent = user_id.value_or("");
  const Result<json::value> parsed = json::parse(agent, {.depth_max = 4});
  const json::object* object = parsed ? parsed->if_object() : nullptr;
  const json::value* session = object == nullptr ? nullptr : object->if_contains("session_id");
  if (session != nullptr && session->is_string()) agent = session->get_string();
  return std::string(shown(agent));
}

}  // namespace onnxlocal::anthropic
