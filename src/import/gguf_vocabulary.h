#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "generation/token.h"
#include "import/gguf_reader.h"

namespace onnxlocal {

/// What a token is, by llama.cpp's numbers (`enum llama_token_type`).
enum class TokenKind : std::int32_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

/// The tokens of a GGUF file with llama.cpp's corrections: an empty text gets a name, and texts
/// that it knows for control tokens are control tokens even where the file says otherwise.
struct GgufVocabulary {
  GgufVocabulary() = default;
  // A copy's `ids` would point into the original; a move keeps the strings where they are.
  GgufVocabulary(GgufVocabulary&&) noexcept = default;
  GgufVocabulary& operator=(GgufVocabulary&&) noexcept = default;

  std::vector<std::string> texts;
  std::vector<TokenKind> kinds;  ///< As many as texts.
  std::vector<float> scores;     ///< As many as texts; empty where the file has none.
  /// Views into `texts`.
  std::unordered_map<std::string_view, TokenId> ids;

  std::optional<TokenId> find(std::string_view text) const;
  std::size_t size() const { return texts.size(); }
};

/// Errors: model_corrupt (counts that differ, a text twice, ill-formed UTF-8, over the limits).
Result<GgufVocabulary> read_gguf_vocabulary(const GgufFile& file);

/// True for texts that end a turn by llama.cpp's list ("<|im_end|>", "</s>", ...).
bool is_end_text(std::string_view text);

}  // namespace onnxlocal
