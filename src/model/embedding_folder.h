#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "generation/token.h"

namespace onnxlocal {

/// How the vectors of a text's tokens become one.
enum class Pooling {
  kMean,  ///< Their mean.
  kLast,  ///< The last token's.
  kCls,   ///< The first token's.
};
std::string_view to_string(Pooling pooling);

/// What the small files of an embedding model's folder say.
struct EmbeddingConfig {
  std::string architecture;          ///< "bert", ...: config.json's `model_type`.
  std::uint32_t context_tokens = 0;  ///< Most tokens of one input, special ones included.
  std::uint32_t dimensions = 0;      ///< Of a vector; 0 where the files do not say.
  TokenId pad_token = 0;
  Pooling pooling = Pooling::kMean;
  bool normalizes = true;  ///< Vectors have the length 1.
  /// A step that we have no code for ("Dense"): the graph must give `sentence_embedding` itself.
  std::string foreign_step;
  std::string model_file = "model.onnx";  ///< Relative to the folder.
};

/// A model folder that gives vectors: sentence-transformers', optimum's or transformers.js'.
struct EmbeddingFolder {
  std::filesystem::path path;
  std::string name;  ///< The folder's own name.
  EmbeddingConfig config;
  std::filesystem::path model_file() const { return path / config.model_file; }
  std::filesystem::path tokenizer_file() const { return path / "tokenizer.json"; }
};

/// Output names of graphs that give vectors: pooled, and one for each token.
inline constexpr std::string_view kSentenceOutput = "sentence_embedding";
inline constexpr std::string_view kTokenOutputs[] = {"last_hidden_state", "token_embeddings"};

/// True where the folder names steps of sentence-transformers, or its graph has one of the outputs
/// above and no logits. May read the graph.
bool holds_embedding_model(const std::filesystem::path& folder);

/// Reads config.json, modules.json, the pooling's config.json, sentence_bert_config.json and
/// tokenizer_config.json, as far as they are there. Without modules.json vectors are normalised,
/// and pooled by the mean, or by the last token where config.json names a causal model. Errors:
/// not_found, model_corrupt (names the file), invalid_request (several graphs).
Result<EmbeddingFolder> read_embedding_folder(const std::filesystem::path& folder);

/// What modules.json says besides the transformer itself.
struct EmbeddingModules {
  std::string pooling_folder;  ///< Plain name; empty where nothing pools.
  bool normalizes = false;
  std::string foreign_step;
};
Result<EmbeddingModules> parse_embedding_modules(std::string_view json, std::string_view where);

/// A pooling's config.json.
struct PoolingConfig {
  std::optional<Pooling> pooling;  ///< Empty where it is one that we have no code for.
  std::uint32_t dimensions = 0;    ///< 0 where it does not say.
};
Result<PoolingConfig> parse_pooling_config(std::string_view json, std::string_view where);

}  // namespace onnxlocal
