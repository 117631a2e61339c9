#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"
#include "runtime/paged_format.h"

namespace onnx {
class GraphProto;
}

namespace onnxlocal {

/// Turns every GroupQueryAttention of the graph into our own operator, the cache chained from
/// layer to layer, and adds the inputs and the output that it needs. The old inputs and outputs of
/// the cache stay for the caller to drop.
///   position_ids: the graph's input of that name; attention itself knows its positions
///   head_dim: where the graph's caches do not say
///   type: of the pages
/// Errors: unsupported (an attention that our operator is not, and why).
Result<PageGeometry> page_attention(onnx::GraphProto& graph, const std::string& position_ids,
                                    std::uint32_t head_dim, KvCacheType type);

/// A short hash of what decides how keys are rotated: the attributes, and the first rows of the
/// tables. Errors: model_corrupt (an external table that cannot be read).
Result<std::string> identify_rotation(const onnx::GraphProto& paged,
                                      const std::filesystem::path& folder);

}  // namespace onnxlocal
