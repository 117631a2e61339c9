#include "plugin/provider.h"

#include <algorithm>

#include "graph/ort_graph_reader.h"
#include "plugin/fused_node.h"
#include "plugin/names.h"
#include "program/compiled_program.h"
#include "threads/thread_pool.h"

namespace onnxlocal::ep {

namespace {

Provider& self(OrtEp* provider) { return *static_cast<Provider*>(provider); }

std::vector<const OrtNode*> nodes_of(const OrtGraph* graph) {
  std::size_t count = 0;
  Ort::ThrowOnError(Ort::GetApi().Graph_GetNumNodes(graph, &count));
  std::vector<const OrtNode*> nodes(count);
  Ort::ThrowOnError(Ort::GetApi().Graph_GetNodes(graph, nodes.data(), count));
  return nodes;
}

bool is_subgraph(const OrtGraph* graph) {
  const OrtNode* parent = nullptr;
  Ort::ThrowOnError(Ort::GetApi().Graph_GetParentNode(graph, &parent));
  return parent != nullptr;
}

bool is_taken(const OrtNode* node) {
  const char* name = nullptr;
  Ort::ThrowOnError(Ort::GetApi().Node_GetEpName(node, &name));
  return name != nullptr && *name != '\0';
}

std::filesystem::path folder_of(const OrtGraph* graph) {
  const ORTCHAR_T* path = nullptr;
  Ort::ThrowOnError(Ort::GetApi().Graph_GetModelPath(graph, &path));
  return path == nullptr ? std::filesystem::path() : std::filesystem::path(path).parent_path();
}

}  // namespace

Provider::Provider(const ProviderOptions& options, InstructionSet set, Parallel& pool,
                   bool prepacks, const OrtKernelRegistry* registry, const OrtLogger* logger)
    : OrtEp{}, options_(options), registry_(registry), logger_(logger) {
  resources_.set = set;
  resources_.foreign_threads = usable_cores();
  resources_.pool = &pool;
  resources_.prepacks = prepacks;

  ort_version_supported = ORT_API_VERSION;
  GetName = [](const OrtEp*) noexcept { return kProviderName; };
  GetCapability = [](OrtEp* provider, const OrtGraph* graph,
                     OrtEpGraphSupportInfo* support) noexcept {
    return guarded([&] { return self(provider).find_capability(graph, support); });
  };
  Compile = [](OrtEp* provider, const OrtGraph** graphs, const OrtNode** nodes, std::size_t count,
               OrtNodeComputeInfo** infos, OrtNode**) noexcept {
    return guarded(
        [&] { return self(provider).compile_nodes({graphs, count}, {nodes, count}, infos); });
  };
  ReleaseNodeComputeInfos = [](OrtEp*, OrtNodeComputeInfo** infos, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
      const std::unique_ptr<FusedNode> released(static_cast<FusedNode*>(infos[i]));
    }
  };
  GetKernelRegistry = [](OrtEp* provider, const OrtKernelRegistry** found) noexcept -> OrtStatus* {
    *found = self(provider).registry_;
    return nullptr;
  };
  IsConcurrentRunSupported = [](OrtEp*, bool* is_supported) noexcept -> OrtStatus* {
    *is_supported = true;
    return nullptr;
  };
}

void Provider::log(OrtLoggingLevel level, const std::string& message) const {
  log_message(logger_, level, std::string(kProviderName) + ": " + message);
}

Ort::Status Provider::find_capability(const OrtGraph* graph, OrtEpGraphSupportInfo* support) {
  const bool is_main = !is_subgraph(graph);
  if (is_main) model_folder_ = folder_of(graph);
  const auto read = read_graph(Ort::GetApi(), graph, model_folder_);
  if (!read) {
    log(ORT_LOGGING_LEVEL_WARNING, "the graph is left to others: " + read.error());
    return ok();
  }
  std::string why_not = "the option mode=single";
  if (is_main && options_.mode == Mode::kWhole && claim_whole(graph, *read, support, why_not)) {
    return ok();
  }
  if (is_main) log(ORT_LOGGING_LEVEL_INFO, "single nodes, not the whole graph: " + why_not);
  claim_single(graph, *read, support);
  return ok();
}

bool Provider::claim_whole(const OrtGraph* graph, const Graph& read, OrtEpGraphSupportInfo* support,
                           std::string& why_not) {
  why_not = why_not_whole(read);
  if (!why_not.empty()) return false;
  const std::vector<const OrtNode*> nodes = nodes_of(graph);
  if (std::ranges::any_of(nodes, is_taken)) {
    why_not = "some of its nodes are another provider's";
    return false;
  }
  OrtNodeFusionOptions options{};
  options.ort_version_supported = ORT_API_VERSION;
  // The program keeps its own packed copies: ONNX Runtime may free the originals.
  options.drop_constant_initializers = true;
  Ort::ThrowOnError(Ort::GetEpApi().EpGraphSupportInfo_AddNodesToFuse(support, nodes.data(),
                                                                      nodes.size(), &options));
  return true;
}

void Provider::claim_single(const OrtGraph* graph, const Graph& read,
                            OrtEpGraphSupportInfo* support) {
  const std::vector<const OrtNode*> nodes = nodes_of(graph);
  std::size_t claimed = 0;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Node& node = read.nodes[i];
    const auto entries = kernel_entries();
    const auto entry = std::ranges::find_if(entries, [&](const KernelEntry* candidate) {
      return node.op == candidate->op && node.domain == candidate->domain;
    });
    if (entry == entries.end() || is_taken(nodes[i]) || !(*entry)->can_run(read, node)) continue;
    const OrtKernelDef* definition = nullptr;
    Ort::ThrowOnError(
        Ort::GetEpApi().EpGraphSupportInfo_LookUpKernel(support, nodes[i], &definition));
    if (definition == nullptr) continue;
    Ort::ThrowOnError(Ort::GetEpApi().EpGraphSupportInfo_AddSingleNode(support, nodes[i]));
    ++claimed;
  }
  log(ORT_LOGGING_LEVEL_INFO, std::to_string(claimed) + " of " + std::to_string(nodes.size()) +
                                  " nodes are taken one by one");
}

Ort::Status Provider::compile_nodes(std::span<const OrtGraph*> graphs,
                                    std::span<const OrtNode*> nodes, OrtNodeComputeInfo** infos) {
  std::vector<std::unique_ptr<FusedNode>> fused;
  for (std::size_t i = 0; i < graphs.size(); ++i) {
    const auto graph = read_graph(Ort::GetApi(), graphs[i], model_folder_);
    if (!graph) return fail(graph.error(), ORT_EP_FAIL);
    const ProgramEnvironment environment{
        .pool = *resources_.pool,
        .set = resources_.set,
        .packed_file = options_.packed_file,
        .profile = options_.profile,
        .warn =
            [this](std::string_view message) {
              log(ORT_LOGGING_LEVEL_WARNING, std::string(message));
            },
    };
    auto program = compile(*graph, environment);
    if (!program) return fail(program.error(), ORT_EP_FAIL);
    fused.push_back(std::make_unique<FusedNode>(std::move(*program), nodes[i]));
  }
  for (std::size_t i = 0; i < fused.size(); ++i) infos[i] = fused[i].release();
  return ok();
}

}  // namespace onnxlocal::ep
