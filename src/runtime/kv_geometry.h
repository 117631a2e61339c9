#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/decoder.h"
#include "runtime/graph_inspection.h"

namespace onnxlocal {

/// Tokens of a block that leaves a decoder.
inline constexpr std::uint32_t kBlockTokens = 32;

/// Sizes of keys and values. A block is [layer][key, value][head][kBlockTokens][head_dim].
struct KvGeometry {
  std::uint32_t layers = 0;
  std::uint32_t heads = 0;
  std::uint32_t head_dim = 0;
  std::size_t element_bytes = 0;

  explicit KvGeometry(const GraphInterface& graph)
      : layers(graph.layers),
        heads(graph.kv_heads),
        head_dim(graph.head_dim),
        element_bytes(onnxlocal::element_bytes(graph.kv_type)) {}

  /// One head's key (or value) of one token.
  std::size_t vector_bytes() const { return head_dim * element_bytes; }
  /// All that one token leaves behind.
  std::size_t token_bytes() const { return std::size_t{2} * layers * heads * vector_bytes(); }
  std::size_t block_bytes() const { return kBlockTokens * token_bytes(); }
};

/// The layout's id names what decides its bytes: the way it was computed (`kind`: the execution
/// provider and the weights' form), the type and the shape.
inline KvLayout make_kv_layout(const KvGeometry& geometry, const GraphInterface& graph,
                               std::string_view kind) {
  return {.layout_id = std::string(kind) + "/" + element_name(graph.kv_type) + "/" +
                       std::to_string(geometry.layers) + "x" + std::to_string(geometry.heads) +
                       "x" + std::to_string(geometry.head_dim),
          .block_tokens = kBlockTokens,
          .block_bytes = geometry.block_bytes()};
}

}  // namespace onnxlocal
