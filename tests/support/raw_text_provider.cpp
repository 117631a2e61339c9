#include "raw_text_provider.h"

#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "base/file_system.h"
#include "base/json.h"
#include "provider/reply_reader.h"

namespace onnxlocal {
namespace {

constexpr std::size_t kBytesPerToken = 4;

std::uint32_t tokens_of(std::size_t bytes) {
  return static_cast<std::uint32_t>((bytes + kBytesPerToken - 1) / kBytesPerToken);
}

std::string text_in(const ContentBlock& block) {
  if (const auto* text = std::get_if<TextBlock>(&block)) return text->text;
  if (const auto* result = std::get_if<ToolResultBlock>(&block)) return result->text;
  if (const auto* call = std::get_if<ToolUseBlock>(&block)) return call->name + call->input;
  return {};
}

/// The last text of the user, or result of a call.
std::string last_text(const GenerationRequest& request) {
  for (auto message = request.messages.rbegin(); message != request.messages.rend(); ++message) {
    if (message->role == Role::kUser && !message->content.empty()) {
      return text_in(message->content.back());
    }
  }
  return {};
}

/// Up to `size` bytes from the front, cut between characters.
std::string_view piece_of(std::string_view text, std::size_t size) {
  if (size >= text.size()) return text;
  while ((static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U) ++size;
  return text.substr(0, size);
}

}  // namespace

Result<RawTextScript> RawTextScript::load(const std::filesystem::path& file) {
  TRY(const std::string text, read_text_file(file, std::size_t{1} << 24));
  return from_json(text);
}

Result<RawTextScript> RawTextScript::from_json(std::string_view text) {
  TRY(const json::value parsed, json::parse(text));
  RawTextScript script;
  try {
    const json::object& root = parsed.as_object();
    if (const auto* rules = root.if_contains("rules")) {
      for (const json::value& rule : rules->as_array()) {
        Rule read;
        read.pattern = rule.at("match").as_string();
        read.match = std::regex(read.pattern);
        read.say = rule.at("say").as_string();
        const auto* once = rule.as_object().if_contains("once");
        read.once = once != nullptr && once->as_bool();
        script.rules.push_back(std::move(read));
      }
    }
    if (const auto* replies = root.if_contains("replies")) {
      for (const json::value& reply : replies->as_array()) {
        script.replies.emplace_back(reply.as_string());
      }
    }
  } catch (const std::exception& error) {
    return std::unexpected(invalid_request(fmt::format("not a script: {}", error.what())));
  }
  return script;
}

RawTextProvider::RawTextProvider(RawTextScript script) : script_(std::move(script)) {
  Dialect dialect = detect_dialect({}, [](std::string_view) { return false; });
  dialect.can_think = true;
  dialect_ = std::make_shared<const Dialect>(std::move(dialect));
}

Result<std::string> RawTextProvider::next_reply(const GenerationRequest& request) {
  const std::string asked = last_text(request);
  const std::scoped_lock lock(mutex_);
  for (RawTextScript::Rule& rule : script_.rules) {
    if (rule.is_spent || !std::regex_search(asked, rule.match)) continue;
    rule.is_spent = rule.once;
    return rule.say;
  }
  if (script_.replies.empty()) {
    return std::unexpected(invalid_request("the script has no reply to this"));
  }
  const std::size_t index = std::min(next_reply_++, script_.replies.size() - 1);
  return script_.replies[index];
}

Result<ActiveGeneration> RawTextProvider::generate(const GenerationRequest& request,
                                                   EventSink sink) {
  TRY(const std::string reply, next_reply(request));
  ReplyReader::Options options;
  options.parser.reads_calls =
      !request.tools.empty() && request.tool_choice.mode != ToolChoice::Mode::kNone;
  for (const ToolDefinition& tool : request.tools) options.parser.tool_names.push_back(tool.name);
  options.shows_thinking = request.thinking.mode == ThinkingOptions::Mode::kEnabled ||
                           request.thinking.mode == ThinkingOptions::Mode::kAdaptive;
  ReplyReader reader(dialect_, std::move(options));

  Usage usage;
  TRY(usage.input_tokens, count_tokens(request));
  sink(GenerationStarted{.usage = usage});
  std::vector<ReplyEvent> events;
  std::string_view rest = reply;
  while (!rest.empty() && usage.output_tokens < request.tokens_max) {
    const std::string_view piece = piece_of(rest, kBytesPerToken);
    reader.push(piece, {}, events);
    rest.remove_prefix(piece.size());
    ++usage.output_tokens;
  }
  reader.finish(events, !rest.empty());
  for (ReplyEvent& event : events) {
    std::visit(
        [&](auto& shown) {
          using Shown = std::decay_t<decltype(shown)>;
          if constexpr (!std::is_same_v<Shown, ToolInputEnded>) sink(std::move(shown));
        },
        event);
  }
  const StopReason reason = !rest.empty()         ? StopReason::kTokensMax
                            : reader.has_called() ? StopReason::kToolUse
                                                  : StopReason::kEndOfTurn;
  sink(GenerationFinished{.reason = reason, .stop_string = {}, .usage = usage});
  return ActiveGeneration();
}

Result<std::uint32_t> RawTextProvider::count_tokens(const GenerationRequest& request) {
  std::size_t bytes = 0;
  for (const ToolDefinition& tool : request.tools) {
    bytes += tool.name.size() + tool.description.size() + tool.input_schema.size();
  }
  for (const Message& message : request.messages) {
    for (const ContentBlock& block : message.content) bytes += text_in(block).size();
  }
  return tokens_of(bytes);
}

std::vector<ModelInfo> RawTextProvider::models() const {
  ModelInfo info;
  info.id = "onnx-local/scripted";
  info.display_name = "Scripted";
  info.context_tokens = 200'000;
  info.tokens_max = 64'000;
  return {info};
}

ProviderStatus RawTextProvider::status() const {
  ProviderStatus status;
  status.state = ProviderStatus::State::kReady;
  status.model = "onnx-local/scripted";
  status.execution_provider = "cpu";
  status.slots = 1;
  return status;
}

}  // namespace onnxlocal
