#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/channel.h"
#include "base/result.h"
#include "generation/embedding.h"
#include "model/embedding_folder.h"
#include "provider/embeddings.h"
#include "runtime/runtime_options.h"

namespace onnxlocal {

/// What one request, and all together, may cost.
struct EmbeddingLimits {
  std::size_t queue_max = 64;            ///< Requests that wait; one more is overloaded.
  std::size_t request_tokens = 300'000;  ///< Of all inputs of a request: OpenAI's own.
  /// Padded tokens that one run computes; a longer input runs alone. A run of an encoder of 512
  /// tokens' window and 12 heads then takes some 50 MB.
  std::size_t run_tokens = 2048;
  std::size_t models_loaded = 2;  ///< The least recently used goes when another is needed.
};

/// Makes vectors with the embedding models of this machine, on one thread of its own, beside the
/// engine's; a model is loaded at its first request. Any thread may call any method; the destructor
/// cancels what waits and ends once the current run does.
class LocalEmbedder {
 public:
  LocalEmbedder(std::vector<EmbeddingFolder> folders, RuntimeOptions runtime,
                EmbeddingLimits limits = {});
  ~LocalEmbedder();
  LocalEmbedder(const LocalEmbedder&) = delete;
  LocalEmbedder& operator=(const LocalEmbedder&) = delete;

  std::vector<EmbeddingModelInfo> models() const;

  /// As `EmbeddingModels::embed`. What is wrong with an input (longer than the model's window, too
  /// many tokens in all, no token of the model) comes to the sink, as does a cancel, which counts
  /// between two runs.
  Result<ActiveGeneration> embed(EmbeddingRequest request, EmbeddingSink sink);

  /// Accepts nothing more, and cancels what runs and waits.
  void shut_down();

 private:
  struct Model;
  struct Job {
    std::size_t folder = 0;
    EmbeddingRequest request;
    EmbeddingSink sink;
    std::stop_token cancel;
  };
  void work(const std::stop_token& stop);
  Result<Embeddings> run(const Job& job);
  Result<Model*> model(std::size_t folder, const std::stop_token& stop);

  // Constant after construction.
  const std::vector<EmbeddingFolder> folders_;
  const RuntimeOptions runtime_;
  const EmbeddingLimits limits_;

  std::vector<std::unique_ptr<Model>> loaded_;  ///< Most recently used first. The thread's alone.
  std::stop_source all_;                        ///< Cancels every job.
  Channel<Job> jobs_;
  std::jthread thread_;  ///< Last: it uses what stands above.
};

}  // namespace onnxlocal
