#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "dialect/dialect.h"

namespace onnxlocal {

/// What a family is known by.
struct DialectClues {
  std::string_view source;  ///< The chat template's.
  const std::function<bool(std::string_view)>& has_token;
  bool says(std::string_view text) const { return source.contains(text); }
};

/// Each is empty where the clues say another family. For this folder alone.
std::optional<Dialect> detect_deepseek(const DialectClues& clues);
std::optional<Dialect> detect_mistral(const DialectClues& clues);
std::optional<Dialect> detect_phi(const DialectClues& clues);
std::optional<Dialect> detect_hermes(const DialectClues& clues);
std::optional<Dialect> detect_llama(const DialectClues& clues);
std::optional<Dialect> detect_gemma(const DialectClues& clues);
/// For templates that no family is known by.
Dialect default_dialect();

}  // namespace onnxlocal
