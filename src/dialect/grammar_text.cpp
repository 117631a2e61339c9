#include "dialect/grammar_text.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/json.h"

namespace onnxlocal {
namespace {

/// More calls in one turn than any model means.
constexpr int kParallelCallsMax = 16;

std::string quoted(std::string_view text) { return json::serialize(json::value(text)); }

/// A tool's input is an object, also where its schema forgets to say so.
std::string object_schema(std::string_view schema) {
  const auto parsed = json::parse(schema);
  if (!parsed || !parsed->is_object()) return R"({"type": "object"})";
  if (parsed->as_object().contains("type")) return std::string(schema);
  std::string text(schema.substr(0, schema.rfind('}')));
  text += parsed->as_object().empty() ? R"("type": "object"})" : R"(, "type": "object"})";
  return text;
}

/// `schema` with how its JSON is written, put last so that it counts.
std::string with_separators(std::string_view schema) {
  constexpr std::string_view kWriting =
      R"("x-guidance": {"whitespace_flexible": false, "item_separator": ", ", )"
      R"("key_separator": ": "}})";
  const auto parsed = json::parse(schema);
  const bool is_object = parsed && parsed->is_object();
  std::string text(is_object ? schema.substr(0, schema.rfind('}')) : "{");
  if (is_object && !parsed->as_object().empty()) text += ", ";
  text += kWriting;
  return text;
}

/// `schema` for a place within another schema, at `pointer`: what it refers to moved with it.
std::string moved_to(std::string_view pointer, std::string_view schema) {
  constexpr std::string_view kReference = "\"$ref\"";
  constexpr std::string_view kBetween = " \n\r\t:";
  std::string text;
  while (true) {
    const std::size_t at = schema.find(kReference);
    if (at == std::string_view::npos) return text + std::string(schema);
    const std::size_t value = schema.find_first_not_of(kBetween, at + kReference.size());
    const bool is_local = schema.substr(std::min(value, schema.size())).starts_with("\"#");
    const std::size_t size = is_local ? value + 2 : at + kReference.size();
    text += schema.substr(0, size);
    if (is_local) text += pointer;
    schema.remove_prefix(size);
  }
}

class GrammarWriter {
 public:
  GrammarWriter(const Dialect& dialect, const ReplyRules& rules,
                const SpecialTokenLookup& special_token)
      : dialect_(dialect), rules_(rules), special_token_(special_token), marks_(dialect.marks()) {
    if (!dialect.can_think) {
      marks_.push_back(dialect.thinking.open);
      marks_.push_back(dialect.thinking.close);
    }
  }

  std::string write() {
    const std::string reply = write_reply();
    if (reply.empty()) return {};
    text_ = "%llguidance {}\nstart: " + write_thinking() + "\nreply: " + reply + '\n' + text_;
    text_ += "TEXT: /(?s:.*)/\nSPACE: /[ \\n\\r\\t]{0,8}/\n";
    return std::move(text_);
  }

 private:
  using Choice = ToolChoice::Mode;

  void add(std::string_view name, std::string_view body) {
    text_ += name;
    text_ += ": ";
    text_ += body;
    text_ += '\n';
  }

  std::string token(std::string_view mark) const {
    const auto id = special_token_(mark);
    return id ? fmt::format("<[{}]>", *id) : std::string();
  }

  /// Text that may hold marks, as terminals in a row.
  std::string sequence(std::string_view text) const {
    std::string terms;
    std::string plain;
    const auto flush = [&] {
      if (!plain.empty()) terms += ' ' + quoted(plain);
      plain.clear();
    };
    while (!text.empty()) {
      const auto mark = std::ranges::find_if(marks_, [&](const std::string& candidate) {
        return text.starts_with(candidate) && special_token_(candidate);
      });
      if (mark == marks_.end()) {
        plain += text.front();
        text.remove_prefix(1);
        continue;
      }
      flush();
      terms += ' ' + token(*mark);
      text.remove_prefix(mark->size());
    }
    flush();
    return terms;
  }

  std::string write_thinking() {
    using Thinking = ReplyRules::Thinking;
    if (rules_.thinking == Thinking::kNone) return "reply";
    const ThinkingSyntax& marks = dialect_.thinking;
    const std::string close = token(marks.close);
    if (close.empty()) {
      add("thoughts[lazy]", "TEXT " + quoted(marks.close));
    } else {
      add("thoughts", "TEXT " + close);
    }
    if (rules_.thinking == Thinking::kOpen) return "thoughts reply";
    const std::string open = token(marks.open);
    if (open.empty()) {
      add("think[lazy]", quoted(marks.open));
    } else {
      add("think", open);
    }
    const std::string thinking = "think thoughts reply";
    return rules_.thinking == Thinking::kRequired ? thinking : thinking + " | reply";
  }

  /// Empty where the reply is free.
  std::string write_reply() {
    const bool has_format = rules_.output_format.kind != OutputFormat::Kind::kText;
    if (has_format) {
      const bool is_any = rules_.output_format.kind == OutputFormat::Kind::kJsonObject;
      add("format", "%json " + with_separators(is_any ? R"({"type": "object"})"
                                                      : rules_.output_format.schema));
    }
    const Choice choice = rules_.tool_choice.mode;
    if (rules_.tools.empty()) return has_format ? "SPACE format" : "";
    if (choice == Choice::kNone) return has_format ? "SPACE format" : write_text_without_calls();
    if (!write_calls()) return has_format ? "SPACE format" : "";
    if (choice != Choice::kAuto) return "SPACE" + first_mark() + " calls";
    if (has_format) return "SPACE" + first_mark() + " calls | SPACE format";
    if (dialect_.calls.may_be_bare) return write_free_or_bare();
    return write_free_or_marked();
  }

  /// The mark that the canonical layout begins with; empty for one that has none.
  std::string_view mark_text() const {
    const CallSyntax& calls = dialect_.calls;
    const std::string_view layout =
        calls.section_open.empty() ? std::string_view(calls.call_open) : calls.section_open;
    for (const std::string& mark : calls.open_marks) {
      if (layout.starts_with(mark)) return mark;
    }
    return {};
  }
  std::string first_mark() const { return sequence(mark_text()); }

  std::string write_text_without_calls() {
    if (mark_text().empty() || special_token_(mark_text())) return "TEXT";
    add("UNCALLED", fmt::format("/(?s:.*)/ & ~/(?s:.*){}(?s:.*)/", regex_of(mark_text())));
    return "UNCALLED";
  }
  static std::string regex_of(std::string_view text) {
    std::string regex;
    for (const char byte : text) {
      if (std::string_view("[]|().*+?{}^$\\/").contains(byte)) regex += '\\';
      regex += byte;
    }
    return regex;
  }

  std::string write_free_or_marked() {
    if (special_token_(mark_text())) return "TEXT (" + first_mark() + " calls)?";
    add("head[lazy]", "TEXT" + first_mark());
    return "TEXT | head calls";
  }

  std::string write_free_or_bare() {
    add("UNCALLED", R"(/(\s*[^\s\{](?s:.*))?/)");
    std::string reply = "UNCALLED | SPACE calls";
    for (const std::string& mark : dialect_.calls.open_marks) {
      if (special_token_(mark)) reply += " | " + token(mark) + " calls";
    }
    return reply;
  }

  /// One JSON value, so that the parser need not know at its brace whether it is a call or the
  /// answer's own JSON.
  std::string write_bare_call(const ToolDefinition& tool) const {
    const std::string key = quoted(dialect_.calls.input_key);
    std::string call = R"({"type": "object", "properties": {"name": {"const": )";
    call += quoted(tool.name);
    call += "}, " + key + ": ";
    call += moved_to("/properties/" + dialect_.calls.input_key, object_schema(tool.input_schema));
    call += R"(}, "required": ["name", )" + key + R"(], "additionalProperties": false})";
    return "%json " + with_separators(call);
  }

  /// Rules `calls` (behind the first mark) and `call`; false where no tool may be called.
  bool write_calls() {
    const CallSyntax& syntax = dialect_.calls;
    std::string alternatives;
    for (std::size_t i = 0; i < rules_.tools.size(); ++i) {
      const ToolDefinition& tool = rules_.tools[i];
      if (rules_.tool_choice.mode == Choice::kNamed && tool.name != rules_.tool_choice.name) {
        continue;
      }
      if (!alternatives.empty()) alternatives += " | ";
      alternatives += fmt::format("call_{}", i);
      if (dialect_.calls.may_be_bare) {
        add(fmt::format("call_{}", i), write_bare_call(tool));
        continue;
      }
      add(fmt::format("input_{}", i), "%json " + with_separators(object_schema(tool.input_schema)));
      const bool is_object = syntax.body == CallSyntax::Body::kObject;
      const std::string before = is_object ? fmt::format(R"({{"name": {}, {}: )", quoted(tool.name),
                                                         quoted(syntax.input_key))
                                           : tool.name + syntax.name_end;
      const std::string behind = (is_object ? "}" : "") + syntax.call_close;
      add(fmt::format("call_{}", i),
          fmt::format("{} input_{}{}", sequence(before), i, sequence(behind)));
    }
    if (alternatives.empty()) return false;
    add("call", alternatives);
    std::string first = syntax.section_open + syntax.call_open;
    first.erase(0, mark_text().size());
    std::string calls = sequence(first) + " call";
    // A weak model that may not talk goes on calling up to its limit: what is forced is one call.
    const bool is_forced = rules_.tool_choice.mode != Choice::kAuto;
    if (rules_.tool_choice.allows_parallel && !is_forced) {
      calls += fmt::format(" ({} call){{0,{}}}", sequence(syntax.between + syntax.call_open),
                           kParallelCallsMax - 1);
    }
    add("calls", calls + sequence(syntax.section_close));
    return true;
  }

  const Dialect& dialect_;
  const ReplyRules& rules_;
  const SpecialTokenLookup& special_token_;
  std::vector<std::string> marks_;
  std::string text_;
};

}  // namespace

std::string grammar_text(const Dialect& dialect, const ReplyRules& rules,
                         const SpecialTokenLookup& special_token) {
  return GrammarWriter(dialect, rules, special_token).write();
}

}  // namespace onnxlocal
