#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "plugin/ort_api.h"
#include "program/compiled_program.h"

namespace onnxlocal::ep {

/// A whole decoder as the node that ONNX Runtime put in its place. Any thread may run it.
class FusedNode final : public OrtNodeComputeInfo {
 public:
  /// `node`: the fused node, whose inputs and outputs are matched to the program's by name.
  FusedNode(std::unique_ptr<CompiledProgram> program, const OrtNode* node);

 private:
  Ort::Status run(OrtKernelContext* context);

  std::unique_ptr<CompiledProgram> program_;
  std::vector<std::size_t> inputs_;   ///< The node's input for each of the program's.
  std::vector<std::size_t> outputs_;  ///< The node's output for each of the program's.
};

}  // namespace onnxlocal::ep
