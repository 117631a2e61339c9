#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "runtime/paged_format.h"

namespace onnxlocal {

enum class GraphOptimization { kDisabled, kBasic, kExtended, kAll };
Result<GraphOptimization> parse_graph_optimization(std::string_view text);
std::string_view to_string(GraphOptimization level);

/// "bf16", "int8".
Result<KvCacheType> parse_kv_cache_type(std::string_view text);
std::string_view to_string(KvCacheType type);

/// One execution provider that may be tried.
struct ExecutionProviderChoice {
  std::string name;  ///< Short and in lower case: "onnx-local", "cpu", "cuda", "dml", "coreml",
                     ///< "openvino", ...
  std::map<std::string, std::string> options;  ///< Passed through to ONNX Runtime.
  std::filesystem::path library;  ///< A plugin's shared library; empty for one that is built in.
};

/// "cuda,cpu" and "cuda:device_id=0;arena_extend_strategy=kSameAsRequested,cpu".
/// A plugin is named with its library: "NAME@/path/to/library.so:key=value".
Result<std::vector<ExecutionProviderChoice>> parse_execution_providers(std::string_view text);

/// How a model is loaded and run. The values are the defaults.
struct RuntimeOptions {
  std::vector<ExecutionProviderChoice>
      execution_providers;  ///< Empty: cuda where it is, then onnx-local, then cpu.
  GraphOptimization graph_optimization = GraphOptimization::kAll;
  LogLevel log_level = LogLevel::kWarning;  ///< ONNX Runtime's own messages.
  unsigned threads = 0;                     ///< 0: the physical cores that the process may use.
  std::uint32_t slots = 16;                 ///< Sequences that can run at once.
  std::uint32_t context_tokens = 0;         ///< 0: the model's own window.
  std::uint32_t chunk_tokens_max = 512;     ///< Prefill chunk.
  /// Most memory for keys and values, where slots share it; 0: half of what may be used.
  std::uint64_t kv_bytes_max = 0;
  KvCacheType kv_cache_type = KvCacheType::kBf16;  ///< On our own provider; others keep their own.
  std::filesystem::path cache_folder;  ///< Where derived files go (packed weights, 8-bit sidecars).
  std::filesystem::path
      profile_file;  ///< What onnx-local's kernels spent; empty: no clock is read.
};

}  // namespace onnxlocal
