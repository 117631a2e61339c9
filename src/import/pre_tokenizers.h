#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace onnxlocal {

/// How a byte-level BPE tokenizer cuts text into words before it merges.
struct PreTokenizer {
  std::string_view name;  ///< `tokenizer.ggml.pre`
  /// Applied one after the other, each to what the earlier ones cut; a match is a piece, and so is
  /// what lies between two matches. Oniguruma's syntax.
  std::span<const std::string_view> patterns;
  /// A word that is a token as a whole is that token, whatever the merges would make of it.
  bool ignores_merges = false;
  bool adds_bos = false;
};

/// Errors: unsupported (names it and all we have). An empty name means "default", as in llama.cpp.
Result<PreTokenizer> find_pre_tokenizer(std::string_view name);

}  // namespace onnxlocal
