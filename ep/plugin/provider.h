#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "plugin/options.h"
#include "plugin/ort_api.h"
#include "plugin/single_kernel.h"

namespace onnxlocal::ep {

/// The execution provider of one session. `logger` and the pool outlive it.
class Provider final : public OrtEp {
 public:
  Provider(const ProviderOptions& options, InstructionSet set, Parallel& pool, bool prepacks,
           const OrtKernelRegistry* registry, const OrtLogger* logger);

  KernelResources& resources() { return resources_; }

 private:
  Ort::Status find_capability(const OrtGraph* graph, OrtEpGraphSupportInfo* support);
  Ort::Status compile_nodes(std::span<const OrtGraph*> graphs, std::span<const OrtNode*> nodes,
                            OrtNodeComputeInfo** infos);
  /// Whether the graph was claimed as one node; else `why_not` says why.
  bool claim_whole(const OrtGraph* graph, const Graph& read, OrtEpGraphSupportInfo* support,
                   std::string& why_not);
  void claim_single(const OrtGraph* graph, const Graph& read, OrtEpGraphSupportInfo* support);
  void log(OrtLoggingLevel level, const std::string& message) const;

  ProviderOptions options_;
  const OrtKernelRegistry* registry_;
  const OrtLogger* logger_;
  KernelResources resources_;
  /// Where the model's external files lie: the graph that Compile sees may not say.
  std::filesystem::path model_folder_;
};

/// All kernels for nodes that stand alone.
std::span<const KernelEntry* const> kernel_entries();
/// A registry that holds them.
Ort::KernelRegistry make_kernel_registry();

}  // namespace onnxlocal::ep
