// The metadata's bos, eos and other ends of a turn, and its chat template.

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/utf8.h"
#include "import/gguf_tokenizer.h"
#include "import/gguf_vocabulary.h"
#include "import/pre_tokenizers.h"

namespace onnxlocal {

namespace {

enum class OutOfRange { kIsError, kIsAbsent };

/// The token that `key` names; `fallback` where the file has no such key.
Result<std::optional<TokenId>> read_id(const GgufFile& file, std::string_view key,
                                       std::size_t vocabulary_size, OutOfRange out_of_range,
                                       std::optional<TokenId> fallback = std::nullopt) {
  TRY(const auto id, file.find<std::uint32_t>(key));
  if (!id) {
    return fallback && static_cast<std::size_t>(*fallback) < vocabulary_size ? fallback
                                                                             : std::nullopt;
  }
  if (*id < vocabulary_size) return static_cast<TokenId>(*id);
  if (out_of_range == OutOfRange::kIsAbsent) return std::nullopt;
  return std::unexpected(
      model_corrupt(fmt::format("GGUF metadata '{}': expected a token below {}, found {}", key,
                                vocabulary_size, *id),
                    "convert the model again with a current converter"));
}

/// Every control token of llama.cpp's list, with its exception: gpt-oss and Solar use "<|end|>"
/// inside a turn.
std::vector<TokenId> ends_by_text(const GgufVocabulary& vocabulary) {
  const auto has = [&](std::string_view text) { return vocabulary.find(text).has_value(); };
  const bool has_call = has("<|call|>") || has("<|calls|>");
  const bool keeps_end = has_call && (has("<|return|>") || has("<|flush|>"));
  std::vector<TokenId> ends;
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    const std::string_view text = vocabulary.texts[id];
    if (vocabulary.kinds[id] != TokenKind::kControl || !is_end_text(text)) continue;
    if (keeps_end && text == "<|end|>") continue;
    ends.push_back(static_cast<TokenId>(id));
  }
  return ends;
}

Result<bool> read_adds_bos(const GgufFile& file, bool is_sentence_piece) {
  bool usual = is_sentence_piece;
  if (!is_sentence_piece) {
    TRY(const auto name, file.get_or<std::string_view>("tokenizer.ggml.pre", ""));
    const auto pre_tokenizer = find_pre_tokenizer(name);
    usual = pre_tokenizer && pre_tokenizer->adds_bos;
  }
  return file.get_or<bool>("tokenizer.ggml.add_bos_token", usual);
}

}  // namespace

Result<GgufTokens> read_gguf_tokens(const GgufFile& file) {
  TRY(const GgufVocabulary vocabulary, read_gguf_vocabulary(file));
  const std::size_t size = vocabulary.size();
  TRY(const auto model, file.get<std::string_view>("tokenizer.ggml.model"));
  const bool is_sentence_piece = model == "llama";
  // SentencePiece's own numbers, which such files may leave out.
  const auto usual = [&](TokenId id) {
    return is_sentence_piece ? std::optional<TokenId>(id) : std::nullopt;
  };
  GgufTokens tokens;
  tokens.vocabulary_size = static_cast<std::uint32_t>(size);
  TRY(tokens.bos_token,
      read_id(file, "tokenizer.ggml.bos_token_id", size, OutOfRange::kIsError, usual(1)));
  TRY(tokens.eos_token,
      read_id(file, "tokenizer.ggml.eos_token_id", size, OutOfRange::kIsError, usual(2)));
  // Converters write a padding token beyond the vocabulary for models that have none.
  TRY(tokens.pad_token,
      read_id(file, "tokenizer.ggml.padding_token_id", size, OutOfRange::kIsAbsent));
  TRY(tokens.adds_bos, read_adds_bos(file, is_sentence_piece));
  tokens.adds_bos = tokens.adds_bos && tokens.bos_token.has_value();
  const auto text_of = [&](std::optional<TokenId> id) {
    return id ? vocabulary.texts[static_cast<std::size_t>(*id)] : std::string();
  };
  tokens.bos_text = text_of(tokens.bos_token);
  tokens.eos_text = text_of(tokens.eos_token);

  tokens.end_tokens = ends_by_text(vocabulary);
  for (const std::string_view key :
       {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    TRY(const auto id, read_id(file, key, size, OutOfRange::kIsAbsent));
    if (id) tokens.end_tokens.push_back(*id);
  }
  if (tokens.eos_token) tokens.end_tokens.push_back(*tokens.eos_token);
  std::ranges::sort(tokens.end_tokens, {},
                    [&](TokenId id) { return std::pair(tokens.eos_token != id, id); });
  const auto repeated = std::ranges::unique(tokens.end_tokens);
  tokens.end_tokens.erase(repeated.begin(), repeated.end());

  TRY(const auto chat_template, file.get_or<std::string_view>("tokenizer.chat_template", ""));
  if (!is_valid_utf8(chat_template)) {
    return std::unexpected(
        model_corrupt("GGUF metadata 'tokenizer.chat_template': expected UTF-8, found other bytes",
                      "convert the model again with a current converter"));
  }
  tokens.chat_template = std::string(chat_template);
  return tokens;
}

}  // namespace onnxlocal
