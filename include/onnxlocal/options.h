#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace onnxlocal::embed {

using TokenId = std::int32_t;

/// Which model, and how it is loaded and run. The values are the defaults.
struct ModelOptions {
  /// A name in the model store ("smollm2-135m-instruct"), a model folder, a `.onnx` file, or a
  /// `.gguf` file, which is imported first. Empty: the default model, or `ONNX_MODEL_PATH`'s.
  /// The store lies in `$ONNX_LOCAL_HOME`, else `~/.local/share/onnx-local`.
  std::string model = {};
  /// Tried in this order: "cuda,cpu"; options after a colon: "cuda:device_id=1,cpu". Empty: cuda
  /// where there is one, then onnx-local (our own, for CPUs), then cpu.
  std::string execution_providers = {};
  unsigned threads = 0;              ///< 0: the physical cores that the process may use.
  std::uint32_t context_tokens = 0;  ///< 0: the model's own window.
  std::uint32_t parallel_max = 16;   ///< Generations that run at once; more wait.
  std::uint32_t queue_max = 64;      ///< Generations that wait; one more gets kOverloaded.
  std::size_t kv_bytes_max = std::size_t{4} << 30;            ///< Keys and values of what runs.
  std::size_t prefix_cache_bytes_max = std::size_t{1} << 30;  ///< 0 turns the cache off.
  /// What keys and values are kept in by onnx-local's own provider: "bf16", or "int8", which takes
  /// half the memory and changes answers a little.
  std::string kv_cache_type = "bf16";
  /// Who guesses tokens ahead, which makes answers faster and changes no token: "prompt-lookup",
  /// "draft" (a smaller model of the same vocabulary) or "off".
  std::string speculation = "prompt-lookup";
  std::string draft_model = {};       ///< As `model`; for "draft".
  std::string log_level = "warning";  ///< Of all models: verbose, info, warning, error.
};

/// How one answer is generated. Order: logit bias, penalties, temperature, top_k, top_p, min_p.
struct GenerateOptions {
  std::uint32_t tokens_max = 256;   ///< At least 1; clamped to the room that the context has left.
  float temperature = 1.0F;         ///< [0, 2]; 0 takes the most likely token.
  std::uint32_t top_k = 0;          ///< Keep the k most likely; 0 keeps all.
  float top_p = 1.0F;               ///< (0, 1]
  float min_p = 0.0F;               ///< [0, 1]
  float repetition_penalty = 1.0F;  ///< Over prompt and output; 1 is off.
  float frequency_penalty = 0.0F;   ///< [-2, 2]
  float presence_penalty = 0.0F;    ///< [-2, 2]
  std::map<TokenId, float> logit_bias = {};    ///< Added to the logit, [-100, 100].
  std::optional<std::uint64_t> seed = {};      ///< Same seed and prompt: same tokens.
  std::optional<std::uint32_t> logprobs = {};  ///< Report log-probabilities, and this many others.
  std::vector<std::string> stop_strings = {};  ///< End the answer; not part of it.
  std::chrono::milliseconds time_limit{0};     ///< 0: none. Passed: kTimeout.
};

}  // namespace onnxlocal::embed
