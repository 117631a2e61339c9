#pragma once

#include <cstdint>
#include <vector>

namespace onnx {
class GraphProto;
class NodeProto;
class TensorProto;
}  // namespace onnx

namespace onnxlocal {

/// Inputs of com.microsoft.MatMulNBits.
inline constexpr int kWeightsInput = 1;
inline constexpr int kScalesInput = 2;
inline constexpr int kZeroPointsInput = 3;

/// A MatMulNBits with 4 bits and float zero points, and its tensors. Borrows from the graph.
struct SlowMatrix {
  onnx::NodeProto* node = nullptr;
  const onnx::TensorProto* weights = nullptr;      ///< uint8 [N, K / block, block / 2]
  const onnx::TensorProto* scales = nullptr;       ///< float32 [N * K / block]
  const onnx::TensorProto* zero_points = nullptr;  ///< float32, as the scales
  std::int64_t rows = 0;
  std::int64_t blocks = 0;  ///< Of a row.
  std::int64_t block_size = 0;
};

std::vector<SlowMatrix> slow_matrices(onnx::GraphProto& graph);

/// True where the graph holds graphs of its own (If, Loop), or external tensors in attributes:
/// those are not rewritten.
bool has_inner_graphs(const onnx::GraphProto& graph);

/// True where the tensor's bytes lie outside the `.onnx` file.
bool is_external(const onnx::TensorProto& tensor);
std::int64_t elements_of(const onnx::TensorProto& tensor);

}  // namespace onnxlocal
