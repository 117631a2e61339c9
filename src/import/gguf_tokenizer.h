#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "generation/token.h"
#include "import/gguf_reader.h"

namespace onnxlocal {

/// A Hugging Face `tokenizer.json` that gives the same tokens as llama.cpp does with the file's
/// `tokenizer.ggml.*` metadata. No beginning-of-sequence token is added by it.
/// Errors: unsupported (tokenizer model or pre-tokenizer: names it and those we have);
/// model_corrupt (counts that do not match, ids outside the vocabulary, ill-formed UTF-8).
Result<std::string> tokenizer_json_from_gguf(const GgufFile& file);

/// What else the metadata says of tokens and turns.
struct GgufTokens {
  std::uint32_t vocabulary_size = 0;
  std::optional<TokenId> bos_token;
  std::optional<TokenId> eos_token;
  std::optional<TokenId> pad_token;
  std::string bos_text;  ///< Empty where there is no such token.
  std::string eos_text;
  bool adds_bos = false;  ///< A prompt without a chat template starts with `bos_token`.
  /// Any of these ends a turn; `eos_token` first, the others in order of id. Made by llama.cpp's
  /// rule: eos, eot, eom, and control tokens known by their text ("<|im_end|>", ...).
  std::vector<TokenId> end_tokens;
  std::string chat_template;  ///< Jinja; empty where the file has none.
};

/// Errors: model_corrupt.
Result<GgufTokens> read_gguf_tokens(const GgufFile& file);

}  // namespace onnxlocal
