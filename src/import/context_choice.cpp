#include "import/context_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "import/decoder_shape.h"
#include "model/limits.h"

namespace onnxlocal {
namespace {

using Scaling = RopeSettings::Scaling;

/// Linear scaling stays linear: the weights were tuned for it.
Scaling natural_scaling(const RopeSettings& rope) {
  const bool is_scaled = rope.scaling == Scaling::kLinear && rope.factor > 1.0;
  return is_scaled ? Scaling::kLinear : Scaling::kYarn;
}

}  // namespace

std::string_view to_string(Scaling scaling) {
  switch (scaling) {
    case Scaling::kNone: return "none";
    case Scaling::kLinear: return "linear";
    case Scaling::kYarn: return "yarn";
  }
  return "none";
}

Result<Scaling> parse_rope_scaling(std::string_view name) {
  constexpr std::array kKnown = {Scaling::kNone, Scaling::kLinear, Scaling::kYarn};
  for (const auto scaling : kKnown) {
    if (name == to_string(scaling)) return scaling;
  }
  return std::unexpected(invalid_request(fmt::format("no RoPE scaling is named \"{}\"", name),
                                         "There are linear, yarn and none."));
}

double trained_context_tokens(const DecoderShape& shape) {
  const auto& rope = shape.rope;
  const bool is_scaled = rope.scaling != Scaling::kNone && rope.factor > 1.0;
  const bool names_original = rope.original_context_tokens != shape.context_tokens;
  if (names_original || !is_scaled) return rope.original_context_tokens;
  return std::max(1.0, shape.context_tokens / rope.factor);
}

Result<void> choose_context(DecoderShape& shape, const ContextChoice& choice) {
  if (choice.tokens == 0 || choice.tokens > kContextTokensMax) {
    return std::unexpected(invalid_request(fmt::format(
        "a context window of {} tokens: expected 1 to {}", choice.tokens, kContextTokensMax)));
  }
  const double trained = trained_context_tokens(shape);
  const bool fits = choice.tokens <= shape.context_tokens;
  shape.context_tokens = choice.tokens;
  if (fits && !choice.scaling) return {};
  auto& rope = shape.rope;
  rope.scaling = choice.scaling.value_or(natural_scaling(rope));
  rope.factor = rope.scaling == Scaling::kNone ? 1.0 : std::max(1.0, choice.tokens / trained);
  rope.original_context_tokens = static_cast<std::uint32_t>(std::lround(trained));
  return {};
}

}  // namespace onnxlocal
