#include "provider/prompt.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace onnxlocal {
namespace {

constexpr std::string_view kWhiteSpace = " \n\r\t";

std::string_view role_name(Role role) {
  switch (role) {
    case Role::kSystem: return "system";
    case Role::kUser: return "user";
    case Role::kAssistant: return "assistant";
  }
  return "user";
}

std::string text_of(const Message& message) {
  std::string text;
  for (const ContentBlock& block : message.content) {
    const auto* written = std::get_if<TextBlock>(&block);
    if (written == nullptr) continue;
    if (!text.empty()) text += '\n';
    text += written->text;
  }
  return text;
}

/// One piece per message. A reply that begins with a space, as models give it behind "assistant:",
/// comes out the same way.
std::vector<PromptPiece> plain_pieces(std::span<const Message> messages) {
  std::vector<PromptPiece> pieces;
  const auto add = [&](Role role, std::string_view text) {
    std::string piece(pieces.empty() ? "" : "\n\n");
    piece += role_name(role);
    piece += ':';
    if (!text.empty() && !text.starts_with(' ')) piece += ' ';
    piece += text;
    pieces.push_back({.text = std::move(piece), .special = SpecialTokens::kAsText});
  };
  for (const Message& message : messages) add(message.role, text_of(message));
  if (messages.empty() || messages.back().role != Role::kAssistant) add(Role::kAssistant, "");
  return pieces;
}

std::string spelled(std::span<const PromptPiece> pieces) {
  std::string text;
  for (const PromptPiece& piece : pieces) text += piece.text;
  return text;
}

/// What the history says of each reply that its own turn may stand for. Two in a row may be joined
/// by the template, so those are not asked for.
std::vector<ReplyContent> replies_in(std::span<const Message> messages) {
  std::vector<ReplyContent> replies;
  const auto is_reply = [&](std::size_t i) {
    return i < messages.size() && messages[i].role == Role::kAssistant;
  };
  for (std::size_t i = 0; i + 1 < messages.size(); ++i) {
    const bool has_neighbour = is_reply(i + 1) || (i > 0 && is_reply(i - 1));
    if (is_reply(i) && !has_neighbour) replies.push_back(content_of(messages[i]));
  }
  return replies;
}

std::string_view without_space_at_end(std::string_view text) {
  return text.substr(0, text.find_last_not_of(kWhiteSpace) + 1);
}

/// Calls in parallel may be one turn each in a template that knows one call alone.
bool holds_all_calls(std::string_view turn, std::string_view said) {
  constexpr char kCallMark = '\x02';
  const auto count = [](std::string_view text, std::string_view name) {
    std::size_t found = 0;
    for (std::size_t at = text.find(name); at != std::string_view::npos;
         at = text.find(name, at + name.size())) {
      ++found;
    }
    return found;
  };
  for (std::size_t at = said.find(kCallMark); at != std::string_view::npos;) {
    const std::size_t end = said.find(kCallMark, at + 1);
    if (end == std::string_view::npos) return true;
    const std::string_view marked = said.substr(at, end + 1 - at);
    if (count(turn, marked.substr(1, marked.size() - 2)) < count(said, marked)) return false;
    at = said.find(kCallMark, end + 1);
  }
  return true;
}

void append(std::vector<TokenId>& to, std::span<const TokenId> tokens) {
  to.insert(to.end(), tokens.begin(), tokens.end());
}

}  // namespace

PromptBuilder::PromptBuilder(std::shared_ptr<const Tokenizer> tokenizer, Options options)
    : tokenizer_(std::move(tokenizer)),
      options_(std::move(options)),
      memory_(std::make_unique<ReplyMemory>()) {
  const ChatTemplate* chat_template = options_.chat_template.get();
  has_native_tools_ = chat_template != nullptr && options_.dialect->has_native_tools &&
                      chat_template->takes_tools() && chat_template->takes_tool_history();
}

bool PromptBuilder::is_end(const PromptPiece& piece) const {
  if (!options_.chat_template) return true;
  if (piece.special != SpecialTokens::kParsed) return false;
  const auto id = tokenizer_->token_id(piece.text);
  return id && std::ranges::find(options_.end_tokens, *id) != options_.end_tokens.end();
}

Result<PromptBuilder::Rendered> PromptBuilder::render(const PromptRequest& request) const {
  Rendered rendered;
  std::vector<Message> written;
  std::span<const Message> messages = request.messages;
  std::span<const ToolDefinition> tools = request.tools;
  const auto is_about_tools = [](const Message& message) {
    return std::ranges::any_of(message.content, [](const ContentBlock& block) {
      return std::holds_alternative<ToolUseBlock>(block) ||
             std::holds_alternative<ToolResultBlock>(block);
    });
  };
  if (!has_native_tools_ && (!tools.empty() || std::ranges::any_of(messages, is_about_tools))) {
    written = with_tools_as_text(*options_.dialect, {messages.begin(), messages.end()},
                                 {tools.begin(), tools.end()});
    messages = written;
    tools = {};
  }
  if (!options_.chat_template) {
    rendered.pieces = plain_pieces(messages);
    return rendered;
  }
  Conversation conversation{.messages = messages, .tools = tools};
  if (options_.chat_template->has_thinking_switch()) {
    conversation.enable_thinking = request.wants_thinking;
  }
  TRY(rendered.pieces, options_.chat_template->render(conversation, *tokenizer_));
  if (pieces_ != Pieces::kSame) {
    TRY(rendered.tokens, options_.chat_template->render_tokens(conversation, *tokenizer_));
  }
  if (pieces_ == Pieces::kUnknown) {
    TRY(const Prompt by_piece, tokenize(rendered.pieces, nullptr));
    pieces_ = rendered.tokens == by_piece.tokens ? Pieces::kSame : Pieces::kDifferent;
  }
  const std::size_t pieces = rendered.pieces.size();
  if (!request.wants_thinking) close_thinking(rendered.pieces);
  rendered.own_pieces = rendered.pieces.size() - pieces;
  return rendered;
}

/// A template that opens thinking, asked or not, gets it closed again.
void PromptBuilder::close_thinking(std::vector<PromptPiece>& pieces) const {
  const ThinkingSyntax& marks = options_.dialect->thinking;
  const std::span<const PromptPiece> all = pieces;
  const std::string end = spelled(all.last(std::min<std::size_t>(all.size(), 2)));
  if (!without_space_at_end(end).ends_with(marks.open)) return;
  const auto id = tokenizer_->token_id(marks.close);
  const bool is_special = id && tokenizer_->is_special(*id);
  const auto add_text = [&](std::string text) {
    pieces.push_back({.text = std::move(text), .special = SpecialTokens::kAsText});
  };
  if (is_special) {
    add_text("\n");
    pieces.push_back({.text = marks.close, .special = SpecialTokens::kParsed});
    add_text("\n\n");
  } else {
    add_text("\n" + marks.close + "\n\n");
  }
}

Result<Prompt> PromptBuilder::build(const PromptRequest& request) const {
  TRY(Rendered rendered, render(request));
  if (options_.chat_template && pieces_ == Pieces::kDifferent) {
    return tokenize_at_once(std::move(rendered), request);
  }
  return tokenize(rendered.pieces, &request);
}

Result<Prompt> PromptBuilder::tokenize_at_once(Rendered rendered,
                                               const PromptRequest& request) const {
  Prompt prompt;
  prompt.tokens = std::move(rendered.tokens);
  const std::span<const PromptPiece> pieces = rendered.pieces;
  for (const PromptPiece& piece : pieces.last(rendered.own_pieces)) {
    TRY(const auto tokens, tokenizer_->encode(piece.text, piece.special));
    append(prompt.tokens, tokens);
  }
  describe_last_turn(pieces, request, prompt);
  return prompt;
}

/// Without a request nothing is recalled.
Result<Prompt> PromptBuilder::tokenize(std::span<const PromptPiece> pieces,
                                       const PromptRequest* request) const {
  Prompt prompt;
  if (!options_.chat_template && options_.bos_token) prompt.tokens.push_back(*options_.bos_token);
  std::vector<ReplyContent> replies;
  if (request != nullptr) replies = replies_in(request->messages);
  std::span<const ReplyContent> left = replies;
  for (std::size_t i = 0; i < pieces.size();) {
    // A turn is [i, end): what ends it is the next turn's first, or in plain text all of it.
    const bool is_plain = !options_.chat_template;
    std::size_t end = i + 1;
    while (!is_plain && end < pieces.size() && !is_end(pieces[end])) ++end;
    const auto turn = pieces.subspan(i, end - i);
    prompt.turn_begin = prompt.tokens.size();
    if (end == pieces.size() && request != nullptr) describe_last_turn(turn, *request, prompt);
    if (end < pieces.size() && !left.empty()) {
      const std::string text = spelled(turn);
      const auto recalled = memory_->recall(request->scope, prompt.tokens, text, left);
      if (recalled && holds_all_calls(text, left[recalled->index].said)) {
        append(prompt.tokens, recalled->tokens);
        left = left.subspan(recalled->index + 1);
        i = end;
        continue;
      }
    }
    for (const PromptPiece& piece : turn) {
      TRY(const auto tokens, tokenizer_->encode(piece.text, piece.special));
      append(prompt.tokens, tokens);
    }
    i = end;
  }
  return prompt;
}

void PromptBuilder::describe_last_turn(std::span<const PromptPiece> turn,
                                       const PromptRequest& request, Prompt& prompt) const {
  std::string text = spelled(turn);
  const ThinkingSyntax& marks = options_.dialect->thinking;
  prompt.opens_thinking =
      request.wants_thinking && without_space_at_end(text).ends_with(marks.open);
  if (!request.messages.empty() && request.messages.back().role == Role::kAssistant) {
    prompt.continued = text_of(request.messages.back());
    const std::string_view said = without_space_at_end(prompt.continued);
    const std::size_t at = text.rfind(said);
    if (at != std::string::npos) text.resize(at);
  }
  // Templates leave the thinking of earlier turns out, or an empty one that said "do not think".
  const std::size_t thinking = text.rfind(marks.open);
  const std::string_view behind =
      thinking == std::string::npos ? text : std::string_view(text).substr(thinking);
  const bool is_empty_thinking =
      behind.find_first_not_of(kWhiteSpace, marks.open.size()) == std::string_view::npos ||
      without_space_at_end(behind).ends_with(marks.close);
  if (thinking != std::string::npos && is_empty_thinking) text.resize(thinking);
  prompt.opening = std::move(text);
}

Result<std::size_t> PromptBuilder::prefix_tokens(const PromptRequest& request, std::size_t messages,
                                                 const Prompt& prompt) const {
  PromptRequest beginning = request;
  beginning.messages = request.messages.first(std::min(messages, request.messages.size()));
  TRY(const Prompt prefix, build(beginning));
  const auto differ = std::ranges::mismatch(prefix.tokens, prompt.tokens);
  return static_cast<std::size_t>(differ.in2 - prompt.tokens.begin());
}

void PromptBuilder::remember(const Prompt& prompt, std::string_view scope, const Message& reply,
                             std::span<const TokenId> tokens) const {
  if (options_.chat_template && pieces_ != Pieces::kSame) return;
  const auto all = std::span(prompt.tokens);
  ReplyMemory::Reply kept{
      .content = content_of(reply, prompt.continued),
      .opening = prompt.opening,
      .tokens = {all.begin() + static_cast<std::ptrdiff_t>(prompt.turn_begin), all.end()}};
  append(kept.tokens, tokens);
  memory_->remember(scope, all.first(prompt.turn_begin), std::move(kept));
}

}  // namespace onnxlocal
