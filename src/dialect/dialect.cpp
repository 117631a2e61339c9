#include "dialect/dialect.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "base/json.h"
#include "dialect/families.h"

namespace onnxlocal {
namespace {

std::string quoted(std::string_view text) { return json::serialize(json::value(text)); }

std::string write_call(const CallSyntax& syntax, std::string_view name, std::string_view input) {
  std::string text = syntax.call_open;
  if (syntax.body == CallSyntax::Body::kNamed) {
    text += name;
    text += syntax.name_end;
    text += input;
  } else {
    text += R"({"name": )";
    text += quoted(name);
    text += ", ";
    text += quoted(syntax.input_key);
    text += ": ";
    text += input;
    text += '}';
  }
  text += syntax.call_close;
  return text;
}

std::string write_tool(const ToolDefinition& tool) {
  std::string text = R"({"type": "function", "function": {"name": )";
  text += quoted(tool.name);
  if (!tool.description.empty()) {
    text += R"(, "description": )";
    text += quoted(tool.description);
  }
  text += R"(, "parameters": )";
  text += tool.input_schema.empty() ? std::string_view(R"({"type": "object"})")
                                    : std::string_view(tool.input_schema);
  text += "}}";
  return text;
}

/// What of a user's message is results becomes text.
Message results_as_text(const Message& message) {
  Message written{.role = message.role, .content = {}};
  for (const ContentBlock& block : message.content) {
    const auto* result = std::get_if<ToolResultBlock>(&block);
    if (result == nullptr) {
      written.content.push_back(block);
      continue;
    }
    std::string text = "<tool_response>\n";
    if (result->is_error) text += "Error: ";
    text += result->text;
    text += "\n</tool_response>";
    written.content.emplace_back(TextBlock{.text = std::move(text)});
  }
  return written;
}

/// What of an assistant's message is calls becomes text; so does thinking that a call follows.
Message calls_as_text(const Dialect& dialect, const Message& message) {
  Message written{.role = message.role, .content = {}};
  std::vector<ToolUseBlock> calls;
  const auto flush = [&] {
    if (calls.empty()) return;
    written.content.emplace_back(TextBlock{.text = write_calls(dialect, calls)});
    calls.clear();
  };
  for (const ContentBlock& block : message.content) {
    if (const auto* call = std::get_if<ToolUseBlock>(&block)) {
      calls.push_back(*call);
    } else {
      flush();
      written.content.push_back(block);
    }
  }
  flush();
  return written;
}

}  // namespace

std::vector<std::string> Dialect::marks() const {
  std::vector<std::string> marks = calls.open_marks;
  marks.insert(marks.end(), calls.close_marks.begin(), calls.close_marks.end());
  if (!calls.name_end.empty()) marks.push_back(calls.name_end);
  if (can_think) {
    marks.push_back(thinking.open);
    marks.push_back(thinking.close);
  }
  std::ranges::sort(marks, std::greater(), &std::string::size);
  return marks;
}

Dialect detect_dialect(std::string_view template_source,
                       const std::function<bool(std::string_view)>& has_token) {
  const DialectClues clues{.source = template_source, .has_token = has_token};
  constexpr std::array kFamilies{&detect_deepseek, &detect_mistral, &detect_phi,
                                 &detect_hermes,   &detect_llama,   &detect_gemma};
  Dialect dialect = default_dialect();
  for (const auto detect : kFamilies) {
    if (auto detected = detect(clues)) {
      dialect = *std::move(detected);
      break;
    }
  }
  dialect.has_thinking_switch = clues.says("enable_thinking");
  dialect.can_think = dialect.can_think || clues.says("</think>") || dialect.has_thinking_switch;
  return dialect;
}

std::string describe_tools(const Dialect& dialect, const std::vector<ToolDefinition>& tools) {
  std::string text =
      "# Tools\n\nYou may call one or more functions to help with the user's request.\n\n"
      "You are given the functions' signatures within <tools></tools>:\n<tools>";
  for (const ToolDefinition& tool : tools) {
    if (!tool.is_listed) continue;
    text += '\n';
    text += write_tool(tool);
  }
  text += "\n</tools>\n\nTo call a function, reply with its name and its arguments as JSON:\n";
  const CallSyntax& calls = dialect.calls;
  text += calls.section_open;
  text += write_call(calls, "FUNCTION_NAME", R"({"ARGUMENT": "VALUE"})");
  text += calls.section_close;
  text += "\nWhat it returned comes back within <tool_response></tool_response>.";
  return text;
}

std::string write_calls(const Dialect& dialect, const std::vector<ToolUseBlock>& calls) {
  std::string text = dialect.calls.section_open;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (i > 0) text += dialect.calls.between;
    text += write_call(dialect.calls, calls[i].name, calls[i].input);
  }
  text += dialect.calls.section_close;
  return text;
}

std::vector<Message> with_tools_as_text(const Dialect& dialect,
                                        const std::vector<Message>& messages,
                                        const std::vector<ToolDefinition>& tools) {
  std::vector<Message> written = messages;
  if (std::ranges::any_of(tools, &ToolDefinition::is_listed)) {
    // Behind the system text, as the templates that know tools have it.
    std::string text = describe_tools(dialect, tools);
    if (written.empty() || written.front().role != Role::kSystem) {
      written.insert(written.begin(), Message{.role = Role::kSystem, .content = {}});
    } else {
      text.insert(0, 1, '\n');
    }
    written.front().content.emplace_back(TextBlock{.text = std::move(text)});
  }
  for (Message& message : written) {
    if (message.role == Role::kAssistant) message = calls_as_text(dialect, message);
    if (message.role == Role::kUser) message = results_as_text(message);
  }
  return written;
}

}  // namespace onnxlocal
