#include "import/model_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/json.h"
#include "base/utf8.h"

namespace onnxlocal {
namespace {

ModelConfig model_config(const DecoderShape& shape, const GgufTokens& tokens) {
  ModelConfig config;
  config.architecture = shape.architecture;
  config.context_tokens = shape.context_tokens;
  config.vocabulary_size = shape.vocabulary_size;
  config.layers = shape.layers;
  config.attention_heads = shape.heads;
  config.kv_heads = shape.kv_heads;
  config.head_dim = shape.head_dim;
  config.hidden_size = shape.hidden_size;
  config.bos_token = tokens.bos_token;
  config.eos_tokens = tokens.end_tokens;
  config.pad_token = tokens.pad_token;
  return config;
}

/// What onnxruntime-genai and Hugging Face's tokenizers want to know besides tokenizer.json.
std::string tokenizer_config(const GgufTokens& tokens, std::uint32_t context_tokens) {
  json::object config;
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  config["model_max_length"] = context_tokens;
  config["add_bos_token"] = tokens.adds_bos;
  config["clean_up_tokenization_spaces"] = false;
  if (!tokens.bos_text.empty()) config["bos_token"] = tokens.bos_text;
  if (!tokens.eos_text.empty()) config["eos_token"] = tokens.eos_text;
  if (!tokens.chat_template.empty()) config["chat_template"] = tokens.chat_template;
  return json::serialize(config) + "\n";
}

/// The type that most of the matrices' values have. Vectors are float32 in every file.
std::string most_common_type(const GgufFile& file) {
  std::map<GgmlType, std::uint64_t> counts;
  for (const auto& tensor : file.tensors()) {
    if (tensor.shape.size() > 1) counts[tensor.type] += tensor.value_count();
  }
  if (counts.empty()) return {};
  const auto most =
      std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; });
  return std::string(to_string(most->first));
}

}  // namespace

Result<std::vector<TextFile>> small_model_files(const GgufFile& file, const DecoderShape& shape) {
  TRY(const auto tokens, read_gguf_tokens(file));
  if (tokens.vocabulary_size > shape.vocabulary_size) {
    return std::unexpected(
        model_corrupt(fmt::format("the tokenizer has {} tokens, but the embedding only {} rows",
                                  tokens.vocabulary_size, shape.vocabulary_size)));
  }
  std::vector<TextFile> files;
  TRY(auto tokenizer, tokenizer_json_from_gguf(file));
  files.push_back({"tokenizer.json", std::move(tokenizer)});
  files.push_back({"tokenizer_config.json", tokenizer_config(tokens, shape.context_tokens)});
  if (!tokens.chat_template.empty()) {
    files.push_back({"chat_template.jinja", tokens.chat_template});
  }
  files.push_back({"genai_config.json", to_genai_config(model_config(shape, tokens))});
  return files;
}

Result<Manifest> describe_gguf(const GgufFile& file, const ImportOptions& options) {
  Manifest manifest;
  manifest.name = options.name;
  TRY(const auto licence, file.get_or<std::string_view>("general.license", ""));
  manifest.licence = options.licence.empty() ? to_valid_utf8(licence) : options.licence;
  manifest.quantization = most_common_type(file);
  for (const auto& tensor : file.tensors()) {
    if (tensor.name != "rope_freqs.weight") manifest.parameters += tensor.value_count();
  }
  return manifest;
}

}  // namespace onnxlocal
