#include <fmt/format.h>

#include "model/folder_files.h"
#include "model/json_fields.h"
#include "model/limits.h"
#include "model/model_config.h"

namespace onnxlocal {
namespace {

/// "<s>", or {"content": "<s>", ...}: both are written.
Result<std::string> token_text(const JsonFields& fields, std::string_view key) {
  const auto* value = fields.find(key);
  if (value == nullptr) return std::string();
  if (!value->is_object()) return fields.text(key);
  TRY(const auto token, fields.object(key));
  return token.text("content");
}

/// A template, or a list of named ones of which "default" is the chat.
Result<std::string> template_text(const JsonFields& fields) {
  constexpr std::string_view kKey = "chat_template";
  const auto* value = fields.find(kKey);
  if (value == nullptr) return std::string();
  if (!value->is_array()) return fields.text(kKey);
  for (const auto& entry : value->get_array()) {
    if (!entry.is_object()) continue;
    const JsonFields named(entry.get_object(), fields.name(kKey), "[].");
    TRY(const auto name, named.optional_text("name"));
    if (name == "default") return named.text("template");
  }
  return std::string();
}

}  // namespace

Result<ChatTemplateSource> read_chat_template(const std::filesystem::path& folder) {
  ChatTemplateSource result;
  const auto tokenizer_config = folder / "tokenizer_config.json";
  TRY(const auto text, read_optional_file(tokenizer_config, kTokenizerConfigBytesMax));
  if (!text.empty()) {
    TRY(const auto document, parse_model_json(text, tokenizer_config.string()));
    const JsonFields fields(document.get_object(), tokenizer_config.string());
    TRY(result.bos_token, token_text(fields, "bos_token"));
    TRY(result.eos_token, token_text(fields, "eos_token"));
    TRY(result.source, template_text(fields));
  }
  TRY(auto source, read_optional_file(folder / "chat_template.jinja", kChatTemplateBytesMax));
  if (!source.empty()) result.source = std::move(source);
  return result;
}

}  // namespace onnxlocal
