#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "generation/token.h"
#include "model/embedding_folder.h"
#include "runtime/runtime_options.h"

namespace onnxlocal {

/// Gives vectors of token rows: runs an encoder, pools and normalises. One thread at a time.
/// Inputs: `input_ids`, `attention_mask`, and where the graph has them `token_type_ids` (zeros),
/// `position_ids` (from 0) and past keys and values (none). Output: `sentence_embedding` [rows,
/// dimensions], else `last_hidden_state` or `token_embeddings` [rows, tokens, dimensions].
class EmbeddingModel {
 public:
  /// Opens the graph on the first execution provider of `options` that takes it and passes a first
  /// run; our own, which is made for decoders, is passed over.
  /// Errors: model_corrupt, unsupported (inputs, outputs, steps that we have no code for),
  /// unavailable (no provider took it: why, each), cancelled.
  static Result<std::unique_ptr<EmbeddingModel>> load(const EmbeddingFolder& folder,
                                                      const RuntimeOptions& options,
                                                      const std::stop_token& stop = {});
  ~EmbeddingModel();
  EmbeddingModel(const EmbeddingModel&) = delete;
  EmbeddingModel& operator=(const EmbeddingModel&) = delete;

  /// One vector for each row, whatever the others are: rows are padded on the right to the longest.
  ///   rows: none is empty
  ///   errors: internal (the execution provider failed, or gave what is no number)
  Result<std::vector<std::vector<float>>> embed(std::span<const std::vector<TokenId>> rows);

  std::uint32_t dimensions() const;
  const std::string& execution_provider() const;

 private:
  struct State;
  explicit EmbeddingModel(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace onnxlocal
