#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "generation/sampling.h"
#include "generation/token.h"

namespace onnxlocal {

/// Names of the graph's inputs and outputs. `%d` in a name stands for the layer.
struct GraphNames {
  std::string input_ids = "input_ids";            ///< [batch, sequence] int64
  std::string attention_mask = "attention_mask";  ///< [batch, total_sequence] int64
  std::string position_ids = "position_ids";  ///< [batch, sequence] int64, where the graph has it
  std::string past_key = "past_key_values.%d.key";  ///< [batch, kv_heads, capacity, head_dim]
  std::string past_value = "past_key_values.%d.value";
  std::string logits = "logits";  ///< [batch, sequence, vocabulary], or the positions asked for
  std::string present_key = "present.%d.key";
  std::string present_value = "present.%d.value";
  /// Our own optional input: [n] int64, which positions of the sequence get logits. It has a
  /// default initializer ([-1]), so that onnxruntime-genai need not know it.
  std::string logits_positions = "logits_positions";
};

/// What `genai_config.json` says of a decoder (and, where there is none beside a bare .onnx file,
/// what `config.json` and the graph's own shapes say).
struct ModelConfig {
  std::string architecture;  ///< "llama", "qwen2", ...: genai's `model.type`.
  std::uint32_t context_tokens = 0;
  std::uint32_t vocabulary_size = 0;
  std::uint32_t layers = 0;
  std::uint32_t attention_heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t hidden_size = 0;
  std::optional<TokenId> bos_token;
  std::vector<TokenId> eos_tokens;  ///< Any of these ends a turn.
  std::optional<TokenId> pad_token;
  bool shares_past_present = true;  ///< genai's `search.past_present_share_buffer`.
  /// genai's `search` temperature, top_k and top_p where it says `do_sample`, else ours.
  SamplingDefaults sampling;
  std::string model_file = "model.onnx";  ///< Relative to the folder.
  GraphNames names;
};

/// A model folder that was found sound as far as its small files say.
struct ModelFolder {
  std::filesystem::path path;
  std::string name;  ///< The folder's own name.
  ModelConfig config;
  std::filesystem::path model_file() const { return path / config.model_file; }
  std::filesystem::path tokenizer_file() const { return path / "tokenizer.json"; }
};

/// Reads a model folder (ours, onnxruntime-genai's, or an optimum export's), or the folder of a
/// `.onnx` file that is named itself. Errors: not_found, model_corrupt (names the file, what was
/// expected, what was found), unsupported.
Result<ModelFolder> read_model_folder(const std::filesystem::path& folder_or_onnx_file);

/// `genai_config.json`, as onnxruntime-genai 0.18 reads it.
std::string to_genai_config(const ModelConfig& config);
/// The other way. `where` names the file in errors.
Result<ModelConfig> parse_genai_config(std::string_view json, std::string_view where);

/// A name of `GraphNames` for one layer: "present.%d.key" and 3 give "present.3.key".
std::string layer_name(std::string_view pattern, std::uint32_t layer);

/// The chat template of a model folder: `chat_template.jinja`, else `tokenizer_config.json`'s;
/// empty where the model has none. With the texts of its beginning and end tokens.
struct ChatTemplateSource {
  std::string source;
  std::string bos_token;
  std::string eos_token;
};
Result<ChatTemplateSource> read_chat_template(const std::filesystem::path& folder);

}  // namespace onnxlocal
