#include "import/gguf_vocabulary.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "base/utf8.h"
#include "import/gguf_limits.h"

namespace onnxlocal {

namespace {

// llama.cpp's `special_eog_ids` by text (src/llama-vocab.cpp).
constexpr auto kEndTexts = std::to_array<std::string_view>({
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
});

// Fill-in-the-middle tokens, which llama.cpp makes control tokens as well.
constexpr auto kFillTexts = std::to_array<std::string_view>({
    "<|fim_prefix|>", "<fim-prefix>",    "<fim_prefix>",    "<｜fim▁begin｜>", "<PRE>",
    "▁<PRE>",         "<|code_prefix|>", "<|prefix|>",      "<|fim_suffix|>",  "<fim-suffix>",
    "<fim_suffix>",   "<｜fim▁hole｜>",  "<SUF>",           "▁<SUF>",          "<|code_suffix|>",
    "<|suffix|>",     "<|fim_middle|>",  "<fim-middle>",    "<fim_middle>",    "<｜fim▁end｜>",
    "<MID>",          "▁<MID>",          "<|code_middle|>", "<|middle|>",      "<|fim_pad|>",
    "<fim-pad>",      "<fim_pad>",       "<PAD>",           "[PAD]",           "<|fim_repo|>",
    "<|repo_name|>",  "<fim-repo>",      "<REPO>",          "<reponame>",      "<|file_sep|>",
});

// gpt-oss writes these as visible text.
constexpr auto kVisibleTexts =
    std::to_array<std::string_view>({"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"});

bool is_one_of(std::string_view text, std::span<const std::string_view> texts) {
  return std::ranges::find(texts, text) != texts.end();
}

Error corrupt(std::string message) {
  return model_corrupt(std::move(message), "convert the model again with a current converter");
}

TokenKind corrected(TokenKind kind, std::string_view text) {
  if (is_one_of(text, kVisibleTexts)) return TokenKind::kUserDefined;
  // An unknown token is special already; making it one more kind would lose that it is unknown.
  if (kind == TokenKind::kUnknown) return kind;
  // Qwen's vocabulary has this piece of HTML as an ordinary token, and says so. llama.cpp would end
  // a turn there.
  if (kind == TokenKind::kNormal && text == "</s>") return kind;
  return is_one_of(text, kEndTexts) || is_one_of(text, kFillTexts) ? TokenKind::kControl : kind;
}

Result<void> read_texts(const GgufFile& file, GgufVocabulary& vocabulary) {
  TRY(const auto tokens, file.get<std::vector<std::string_view>>("tokenizer.ggml.tokens"));
  if (tokens.empty() || tokens.size() > gguf_limits::kVocabularyMax) {
    return std::unexpected(corrupt(fmt::format("tokenizer.ggml.tokens: expected 1 to {}, found {}",
                                               gguf_limits::kVocabularyMax, tokens.size())));
  }
  vocabulary.texts.reserve(tokens.size());
  vocabulary.ids.reserve(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::string_view token = tokens[i];
    if (token.size() > gguf_limits::kTokenBytesMax || !is_valid_utf8(token)) {
      return std::unexpected(corrupt(
          fmt::format("tokenizer.ggml.tokens[{}]: expected UTF-8 of at most {} bytes, found {} "
                      "bytes{}",
                      i, gguf_limits::kTokenBytesMax, token.size(),
                      is_valid_utf8(token) ? "" : ", ill-formed")));
    }
    vocabulary.texts.push_back(token.empty() ? fmt::format("[EMPTY_{}]", i) : std::string(token));
    // The vector was reserved in full: its strings stay where they are.
    const auto [first, is_new] =
        vocabulary.ids.emplace(vocabulary.texts.back(), static_cast<TokenId>(i));
    if (!is_new) {
      return std::unexpected(corrupt(fmt::format(
          "tokenizer.ggml.tokens[{}]: expected each text once, found that of token {} again", i,
          first->second)));
    }
  }
  return {};
}

}  // namespace

bool is_end_text(std::string_view text) { return is_one_of(text, kEndTexts); }

std::optional<TokenId> GgufVocabulary::find(std::string_view text) const {
  const auto found = ids.find(text);
  if (found == ids.end()) return std::nullopt;
  return found->second;
}

Result<GgufVocabulary> read_gguf_vocabulary(const GgufFile& file) {
  GgufVocabulary vocabulary;
  TRY_VOID(read_texts(file, vocabulary));
  const auto check_count = [&](std::string_view key, std::size_t found) -> Result<void> {
    if (found == vocabulary.size()) return {};
    return std::unexpected(corrupt(fmt::format("{}: expected {} entries, one per token, found {}",
                                               key, vocabulary.size(), found)));
  };
  TRY(const auto types, file.find<std::vector<std::int32_t>>("tokenizer.ggml.token_type"));
  if (types) TRY_VOID(check_count("tokenizer.ggml.token_type", types->size()));
  vocabulary.kinds.reserve(vocabulary.size());
  for (std::size_t i = 0; i < vocabulary.size(); ++i) {
    const std::int32_t type = types ? (*types)[i] : 0;
    const TokenKind kind =
        type >= 1 && type <= 6 ? static_cast<TokenKind>(type) : TokenKind::kUndefined;
    vocabulary.kinds.push_back(corrected(kind, vocabulary.texts[i]));
  }
  TRY(auto scores, file.find<std::vector<float>>("tokenizer.ggml.scores"));
  if (scores) {
    TRY_VOID(check_count("tokenizer.ggml.scores", scores->size()));
    if (std::ranges::any_of(*scores, [](float score) { return std::isnan(score); })) {
      return std::unexpected(corrupt("tokenizer.ggml.scores: expected numbers, found NaN"));
    }
    vocabulary.scores = *std::move(scores);
  }
  return vocabulary;
}

}  // namespace onnxlocal
