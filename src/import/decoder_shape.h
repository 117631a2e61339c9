#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "import/gguf_reader.h"
#include "import/rope_table.h"
#include "import/weight_matrix.h"

namespace onnxlocal {

/// The sizes and settings of a decoder of the llama family.
struct DecoderShape {
  std::string architecture;  ///< As onnxruntime-genai names it: "llama", "qwen2".
  std::uint32_t context_tokens = 0;
  std::uint32_t vocabulary_size = 0;
  std::uint32_t layers = 0;
  std::uint32_t hidden_size = 0;
  std::uint32_t feed_forward_size = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  float norm_epsilon = 0;
  RopeSettings rope;
  RowOrder query_key_rows = RowOrder::kHalves;
  /// Positions that a token sees, its own included; empty is all. May be more than the window.
  std::optional<std::uint32_t> window_tokens;
};

/// Reads the metadata that the family shares, `<prefix>.block_count` and so on, and checks that the
/// sizes fit each other. Errors: model_corrupt (missing, zero, not divisible: names the key),
/// unsupported (experts, partial rotation, other RoPE scaling).
Result<DecoderShape> read_decoder_shape(const GgufFile& file, const std::string& prefix);

}  // namespace onnxlocal
