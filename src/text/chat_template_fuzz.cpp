#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "text/chat_template.h"

namespace onnxlocal {
namespace {

constexpr std::string_view kTokenizer = R"({"version": "1.0", "added_tokens": [
  {"id": 0, "content": "<|im_start|>", "single_word": false, "lstrip": false, "rstrip": false,
   "normalized": false, "special": true},
  {"id": 1, "content": "<|im_end|>", "single_word": false, "lstrip": false, "rstrip": false,
   "normalized": false, "special": true}],
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
  "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
  "model": {"type": "BPE", "vocab": {"<|im_start|>": 0, "<|im_end|>": 1, "a": 2}, "merges": []}})";

constexpr std::string_view kChatMl =
    "{{ tools | tojson }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}"
    "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}{{ '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

}  // namespace
}  // namespace onnxlocal

/// A template, a zero byte, a client's text. Any template ends; and whatever the text, the only
/// special tokens of a prompt are those that ChatML itself writes. The text is also every part of a
/// tool, a call and a result.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxlocal;
  static const auto tokenizer = Tokenizer::from_json(kTokenizer).value();
  static const auto chat_ml = ChatTemplate::compile(kChatMl, {}).value();
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = input.find('\0');
  const std::string text(end == std::string_view::npos ? input : input.substr(end + 1));
  const std::string quoted = json::serialize(json::value(text));
  const std::string object = "{" + quoted + ":[" + quoted + ",1.0,-0,1e5]}";
  const std::vector<ToolDefinition> tools = {
      {.name = text, .description = text, .input_schema = object},
      {.name = text, .description = text, .input_schema = "{}"}};
  const std::vector<Message> messages = {
      {.role = Role::kUser, .content = {TextBlock{text}}},
      {.role = Role::kAssistant,
       .content = {ThinkingBlock{text}, TextBlock{text}, ToolUseBlock{text, text, object}}},
      {.role = Role::kUser, .content = {ToolResultBlock{text, text, text}, TextBlock{text}}}};
  const Conversation conversation = {.messages = messages, .tools = tools};

  if (const auto any = ChatTemplate::compile(input.substr(0, end), {}); any) {
    static_cast<void>((*any)->render_tokens(conversation, *tokenizer));
  }
  // The client's own JSON, which may be none.
  const std::vector<ToolDefinition> raw = {{.name = "t", .description = "", .input_schema = text}};
  (void)chat_ml->render({.messages = messages, .tools = raw}, *tokenizer);
  const auto pieces = chat_ml->render(conversation, *tokenizer);
  CHECK(pieces.has_value());
  std::size_t special = 0;
  for (const PromptPiece& piece : *pieces) {
    special += piece.special == SpecialTokens::kParsed ? 1 : 0;
  }
  CHECK(special == 9);
  return 0;
}
