#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "import/rope_table.h"

namespace onnxlocal {

struct DecoderShape;

/// A context window other than the source's own.
struct ContextChoice {
  std::uint32_t tokens = 0;
  /// How positions beyond the trained window are brought back into it. Empty: as the source does
  /// where it scales, else YaRN.
  std::optional<RopeSettings::Scaling> scaling = {};
};

std::string_view to_string(RopeSettings::Scaling scaling);
/// "none", "linear", "yarn". Errors: invalid_request.
Result<RopeSettings::Scaling> parse_rope_scaling(std::string_view name);

/// The window that the weights were trained with, before any scaling. GGUF files that name no
/// original window were stretched from `context_tokens / factor`, as llama.cpp reads them.
double trained_context_tokens(const DecoderShape& shape);

/// Gives `shape` another window. One within the source's own changes nothing else; for a longer one
/// the factor is `tokens / trained window`, and linear or YaRN scaling follows from it as in
/// `rope_frequencies`. Errors: invalid_request (no tokens, or more than any model may have).
Result<void> choose_context(DecoderShape& shape, const ContextChoice& choice);

}  // namespace onnxlocal
