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

/// Messages as the crate takes them; borrows nothing but its own texts.
class NativeMessages {
 public:
  explicit NativeMessages(std::span<const Message> messages) {
    texts_.reserve(messages.size());
    for (const Message& message : messages) {
      std::string& text = texts_.emplace_back();
      for (std::size_t i = 0; i < message.content.size(); ++i) {
        text += i == 0 ? "" : "\n";
        if (const auto* block = std::get_if<TextBlock>(&message.content[i])) text += block->text;
      }
      messages_.push_back({native_role(message.role), native::slice(text)});
    }
  }
  const onnxlocal_message* data() const { return messages_.data(); }
  std::size_t size() const { return messages_.size(); }

 private:
  std::vector<std::string> texts_;
  std::vector<onnxlocal_message> messages_;
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

ChatTemplate::ChatTemplate(std::unique_ptr<Native> native, ChatTemplateOptions options)
    : native_(std::move(native)), options_(std::move(options)) {}
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
      new ChatTemplate(std::move(native), std::move(options)));
}

Result<std::vector<PromptPiece>> ChatTemplate::render(std::span<const Message> messages,
                                                      const Tokenizer& tokenizer) const {
  const NativeMessages native_messages(messages);
  const Now now(options_.now);
  onnxlocal_text text{};
  onnxlocal_pieces pieces{};
  char* error = nullptr;
  const auto status = onnxlocal_template_render(
      native_->handle.get(), tokenizer.native().handle.get(), native_messages.data(),
      native_messages.size(), &now.value, &text, &pieces, &error);
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

Result<std::vector<TokenId>> ChatTemplate::render_tokens(std::span<const Message> messages,
                                                         const Tokenizer& tokenizer) const {
  const NativeMessages native_messages(messages);
  const Now now(options_.now);
  onnxlocal_tokens tokens{};
  char* error = nullptr;
  const auto status = onnxlocal_template_render_tokens(
      native_->handle.get(), tokenizer.native().handle.get(), native_messages.data(),
      native_messages.size(), &now.value, &tokens, &error);
  if (status != ONNXLOCAL_TEXT_OK) {
    return std::unexpected(native::take_error(status, error));
  }
  return take_tokens(tokens);
}

}  // namespace onnxlocal
