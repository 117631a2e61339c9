#pragma once

#include <onnxruntime_c_api.h>

#include <expected>
#include <filesystem>
#include <string>

#include "graph/graph.h"

namespace onnxlocal::ep {

/// Reads ONNX Runtime's view of a graph into plain values: nodes in topological order with their
/// attributes, values with types and shapes. Constants in external files give their place (and
/// nothing is read); all others their bytes, which `graph` owns and which the result borrows: it is
/// to be used only while `graph` lives (GetCapability's and Compile's graphs live as long as the
/// call).
///   folder: where relative external files lie when the model came from memory; else the folder of
///           the graph's model path is taken
///   errors: what ONNX Runtime reports; a node with a subgraph is not one (it shows as its
///   operator)
std::expected<Graph, std::string> read_graph(const OrtApi& api, const OrtGraph* graph,
                                             const std::filesystem::path& folder);

}  // namespace onnxlocal::ep
