#include "provider/reply_plan.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "dialect/grammar_text.h"

namespace onnxlocal {
namespace {

using Choice = ToolChoice::Mode;

/// Whether a reply that breaks the rules is worse than an error.
bool is_strict(const GenerationRequest& request, const ToolDefinition& tool) {
  const Choice choice = request.tool_choice.mode;
  if (choice == Choice::kNone) return false;
  if (choice == Choice::kNamed) return tool.name == request.tool_choice.name || tool.is_strict;
  return tool.is_strict || choice == Choice::kAny;
}

bool must_hold(const GenerationRequest& request) {
  const auto needs_it = [&](const ToolDefinition& tool) { return is_strict(request, tool); };
  return request.output_format.kind != OutputFormat::Kind::kText ||
         std::ranges::any_of(request.tools, needs_it);
}

/// "tools.0.input_schema.properties.x.not: ...".
Error at_path(std::string_view path, Error error) {
  if (error.code != ErrorCode::kInvalidRequest) return error;
  const std::string_view message = error.message;
  const std::string_view place = message.substr(0, message.find(" cannot be enforced"));
  const bool names_place = place.size() < message.size() && !place.contains(' ');
  error.message = fmt::format("{}{}{}", path, names_place ? "." : ": ", message);
  return error;
}

/// The tools with schemas that a grammar can hold; what was left out goes to `checked`.
Result<std::vector<ToolDefinition>> tools_for_grammar(const GenerationRequest& request,
                                                      SchemaCache& schemas,
                                                      std::map<std::string, std::string>& checked) {
  std::vector<ToolDefinition> tools = request.tools;
  if (request.tool_choice.mode == Choice::kNone) return tools;
  for (std::size_t i = 0; i < tools.size(); ++i) {
    ToolDefinition& tool = tools[i];
    if (tool.input_schema.empty()) tool.input_schema = R"({"type": "object"})";
    const auto facts = schemas.facts(tool.input_schema);
    if (facts->holds) continue;
    const std::string path = fmt::format("tools.{}.input_schema", i);
    if (is_strict(request, tool)) return std::unexpected(at_path(path, facts->holds.error()));
    if (!facts->relaxed) return std::unexpected(at_path(path, facts->relaxed.error()));
    checked[tool.name] = std::exchange(tool.input_schema, *facts->relaxed);
  }
  return tools;
}

Result<void> check_format(const OutputFormat& format, SchemaCache& schemas) {
  if (format.kind != OutputFormat::Kind::kJsonSchema) return {};
  const auto facts = schemas.facts(format.schema);
  if (!facts->holds) {
    return std::unexpected(at_path("output_config.format.schema", facts->holds.error()));
  }
  return {};
}

ReplyRules::Thinking thinking_rule(const GenerationRequest& request, const Prompt& prompt,
                                   bool thinks) {
  if (prompt.opens_thinking) return ReplyRules::Thinking::kOpen;
  if (!thinks || !prompt.continued.empty()) return ReplyRules::Thinking::kNone;
  return request.thinking.mode == ThinkingOptions::Mode::kEnabled ? ReplyRules::Thinking::kRequired
                                                                  : ReplyRules::Thinking::kOptional;
}

Result<std::shared_ptr<const Grammar>> compile(const ModelTongue& tongue, ReplyRules rules,
                                               bool is_strict, GrammarCache& grammars) {
  const SpecialTokenLookup special = [&](std::string_view mark) -> std::optional<TokenId> {
    const auto id = tongue.tokenizer->token_id(mark);
    if (!id || !tongue.tokenizer->is_special(*id)) return std::nullopt;
    return *id;
  };
  const std::string text = grammar_text(*tongue.dialect, rules, special);
  if (text.empty()) return nullptr;
  if (!tongue.takes_grammars.get()) {
    if (!is_strict) return nullptr;
    return std::unexpected(unsupported("this model's tokenizer cannot be held to a grammar"));
  }
  auto grammar = grammars.from_lark(tongue.tokenizer, text);
  const bool was_refused = !grammar && grammar.error().code == ErrorCode::kOverloaded;
  if (grammar || is_strict || was_refused) return grammar;
  // A tool's schema may be more than a grammar can be: then its input is any object.
  LOG_WARNING("the tools' schemas are no grammar, inputs are only checked: {}",
              grammar.error().message);
  for (ToolDefinition& tool : rules.tools) tool.input_schema = R"({"type": "object"})";
  return grammars.from_lark(tongue.tokenizer, grammar_text(*tongue.dialect, rules, special));
}

/// Those that other models of the family end turns with, and a grammar takes for an end.
std::vector<TokenId> other_end_tokens(const Tokenizer& tokenizer) {
  constexpr std::array<std::string_view, 5> kNames{"<|endoftext|>", "<|eom_id|>", "</s>",
                                                   "<|end_of_text|>", "<|eot_id|>"};
  std::vector<TokenId> tokens;
  for (const std::string_view name : kNames) {
    const auto id = tokenizer.token_id(name);
    if (id && tokenizer.is_special(*id)) tokens.push_back(*id);
  }
  return tokens;
}

}  // namespace

bool wants_thinking(const GenerationRequest& request, const Dialect& dialect) {
  const bool is_asked = request.thinking.mode == ThinkingOptions::Mode::kEnabled ||
                        request.thinking.mode == ThinkingOptions::Mode::kAdaptive;
  return is_asked && dialect.can_think;
}

Result<ReplyPlan> plan_reply(const GenerationRequest& request, const ModelTongue& tongue,
                             const Prompt& prompt, RuleCaches& caches) {
  ReplyPlan plan;
  const Dialect& dialect = *tongue.dialect;
  const bool thinks = wants_thinking(request, dialect);
  const bool is_strict = must_hold(request);
  if (!request.tools.empty() || dialect.can_think) {
    plan.reader.emplace();
    plan.reader->shows_thinking = thinks;
    plan.reader->parser.begins_thinking = prompt.opens_thinking;
    plan.reader->parser.reads_calls =
        !request.tools.empty() && request.tool_choice.mode != Choice::kNone;
    for (const ToolDefinition& tool : request.tools) {
      plan.reader->parser.tool_names.push_back(tool.name);
    }
    for (const std::string& mark : dialect.marks()) {
      const auto id = tongue.tokenizer->token_id(mark);
      if (id && tongue.tokenizer->is_special(*id)) plan.visible_tokens.push_back(*id);
    }
  }
  if (thinks && request.thinking.tokens_max) {
    plan.thinking = ThinkingBudget{.marks = dialect.thinking,
                                   .tokens_max = *request.thinking.tokens_max,
                                   .begins_thinking = prompt.opens_thinking};
  }
  TRY_VOID(check_format(request.output_format, caches.schemas));
  ReplyRules rules;
  rules.thinking = thinking_rule(request, prompt, thinks);
  rules.tool_choice = request.tool_choice;
  rules.output_format = request.output_format;
  TRY(rules.tools, tools_for_grammar(request, caches.schemas, plan.checked_schemas));
  TRY(plan.grammar, compile(tongue, std::move(rules), is_strict, caches.grammars));
  if (plan.grammar) plan.stop_tokens = other_end_tokens(*tongue.tokenizer);
  return plan;
}

}  // namespace onnxlocal
