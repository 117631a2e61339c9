#include "text/chat_template.h"

#include <utility>
#include <variant>

#include "text/native.h"
#include "text/tokenizer_native.h"

namespace onnxlocal {
namespace {

std::int32_t native_role(Role role) {
  switch (role) {
    case Role::kSystem: return 0;
    case Role::kUser: return 1;
    case Role::kAssistant: return 2;
  }
  return -1;
}

onnxlocal_block native_block(const TextBlock& block) {
  return {.kind = 0, .text = native::slice(block.text), .id = {}, .name = {}};
}
onnxlocal_block native_block(const ThinkingBlock& block) {
  return {.kind = 1, .text = native::slice(block.text), .id = {}, .name = {}};
}
onnxlocal_block native_block(const ToolUseBlock& block) {
  return {.kind = 2,
          .text = native::slice(block.input),
          .id = native::slice(block.id),
          .name = native::slice(block.name)};
}
onnxlocal_block native_block(const ToolResultBlock& block) {
  return {.kind = 3,
          .text = native::slice(block.text),
          .id = native::slice(block.tool_use_id),
          .name = native::slice(block.name)};
}

/// A conversation as the crate takes it; borrows all texts.
class NativeConversation {
 public:
  explicit NativeConversation(const Conversation& conversation) {
    blocks_.reserve(conversation.messages.size());
    for (const Message& message : conversation.messages) {
      auto& blocks = blocks_.emplace_back();
      for (const ContentBlock& block : message.content) {
        blocks.push_back(std::visit([](const auto& kind) { return native_block(kind); }, block));
      }
      messages_.push_back({native_role(message.role), blocks.data(), blocks.size()});
    }
    for (const ToolDefinition& tool : conversation.tools) {
      if (!tool.is_listed) continue;
      tools_.push_back({.name = native::slice(tool.name),
                        .description = native::slice(tool.description),
                        .input_schema = native::slice(tool.input_schema)});
    }
    const auto thinking = conversation.enable_thinking;
    value_ = {.messages = messages_.data(),
              .message_count = messages_.size(),
              .tools = tools_.data(),
              .tool_count = tools_.size(),
              .enable_thinking = !thinking   ? -1
                                 : *thinking ? 1
                                             : 0};
  }
  const onnxlocal_conversation* get() const { return &value_; }

 private:
  std::vector<std::vector<onnxlocal_block>> blocks_;
  std::vector<onnxlocal_message> messages_;
  std::vector<onnxlocal_tool> tools_;
  onnxlocal_conversation value_{};
};

struct Now {
  explicit Now(const std::optional<std::tm>& fixed) {
    std::tm time{};
    if (fixed) {
      time = *fixed;
    } else {
      const std::time_t seconds = std::time(nullptr);
      localtime_r(&seconds, &time);
    }
    const onnxlocal_now fields = {time.tm_year + 1900, time.tm_mon + 1, time.tm_mday,
                                  time.tm_hour,        time.tm_min,     time.tm_sec,
                                  time.tm_wday,        time.tm_yday + 1};
    std::copy(std::begin(fields), std::end(fields), std::begin(value));
  }
  onnxlocal_now value{};
};

}  // namespace

struct ChatTemplate::Native {
  native::TemplateHandle handle;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Native> native, std::string_view source,
                           ChatTemplateOptions options)
    : native_(std::move(native)), source_(source), options_(std::move(options)) {
  const onnxlocal_abilities found = onnxlocal_template_abilities(native_->handle.get());
  abilities_ = {.takes_system = found.takes_system,
                .takes_tools = found.takes_tools,
                .takes_tool_history = found.takes_tool_history,
                .has_thinking_switch = found.has_thinking_switch};
}
ChatTemplate::~ChatTemplate() = default;

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::compile(std::string_view source,
                                                                  ChatTemplateOptions options) {
  onnxlocal_template* compiled = nullptr;
  char* error = nullptr;
  const auto status =
      onnxlocal_template_compile(native::slice(source), native::slice(options.bos_token),
                                 native::slice(options.eos_token), &compiled, &error);
  if (status != ONNXLOCAL_TEXT_OK) {
    return std::unexpected(native::take_error(status, error));
  }
  auto native = std::make_unique<Native>(Native{native::TemplateHandle(compiled)});
  return std::shared_ptr<const ChatTemplate>(
      new ChatTemplate(std::move(native), source, std::move(options)));
}

Result<std::vector<PromptPiece>> ChatTemplate::render(const Conversation& conversation,
                                                      const Tokenizer& tokenizer) const {
  const NativeConversation native_conversation(conversation);
  const Now now(options_.now);
  onnxlocal_text text{};
  onnxlocal_pieces pieces{};
  char* error = nullptr;
  const auto status =
      onnxlocal_template_render(native_->handle.get(), tokenizer.native().handle.get(),
                                native_conversation.get(), &now.value, &text, &pieces, &error);
  if (status != ONNXLOCAL_TEXT_OK) {
    return std::unexpected(native::take_error(status, error));
  }
  std::vector<PromptPiece> result;
  std::size_t start = 0;
  for (const onnxlocal_piece& piece : std::span(pieces.data, pieces.size)) {
    result.push_back(
        {.text = std::string(text.data + start, piece.end - start),
         .special = piece.is_special ? SpecialTokens::kParsed : SpecialTokens::kAsText});
    start = piece.end;
  }
  onnxlocal_text_free(text);
  onnxlocal_pieces_free(pieces);
  return result;
}

Result<std::vector<TokenId>> ChatTemplate::render_tokens(const Conversation& conversation,
                                                         const Tokenizer& tokenizer) const {
  const NativeConversation native_conversation(conversation);
  const Now now(options_.now);
  onnxlocal_tokens tokens{};
  char* error = nullptr;
  const auto status =
      onnxlocal_template_render_tokens(native_->handle.get(), tokenizer.native().handle.get(),
                                       native_conversation.get(), &now.value, &tokens, &error);
  if (status != ONNXLOCAL_TEXT_OK) {
    return std::unexpected(native::take_error(status, error));
  }
  return take_tokens(tokens);
}

}  // namespace onnxlocal
