#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cpu/instruction_set.h"
#include "graph/graph.h"
#include "plugin/ort_api.h"
#include "plugin/scratch.h"
#include "threads/parallel.h"

namespace onnxlocal::ep {

/// What the kernels of a session share. Outlives them.
struct KernelResources {
  InstructionSet set = InstructionSet::kPortable;
  unsigned foreign_threads = 1;  ///< What ONNX Runtime's own pool likely has.
  Parallel* pool = nullptr;      ///< Ours: for packing, while nothing runs.
  bool prepacks = true;          ///< False: ONNX Runtime was told never to call PrePackWeight.
  ScratchPool scratch;
};

/// An operator that stands alone in a graph, behind ONNX Runtime's table of functions. `compute`
/// may be called by several threads at once.
class SingleKernel : public OrtKernelImpl {
 public:
  SingleKernel();
  virtual ~SingleKernel() = default;
  SingleKernel(const SingleKernel&) = delete;
  SingleKernel& operator=(const SingleKernel&) = delete;

  virtual Ort::Status compute(OrtKernelContext* context) = 0;
  /// A constant input before the first run: whether the kernel holds what it needs of it, so that
  /// the original may go. Called in the order of the inputs.
  virtual bool prepack(const OrtValue* tensor, int input);
};

/// How an operator enters the kernel registry, and what of it we can run.
struct KernelEntry {
  const char* op;
  const char* domain;
  void (*constrain)(Ort::KernelDefBuilder& builder);
  /// By attributes, types and what is constant, before it is claimed. What is false is left to
  /// others.
  bool (*can_run)(const Graph& graph, const Node& node);
  std::unique_ptr<SingleKernel> (*create)(Ort::ConstKernelInfo info, KernelResources& resources);
};

/// KernelEntry::create of a kernel that is made of these two.
template <class Kernel>
std::unique_ptr<SingleKernel> create_kernel(Ort::ConstKernelInfo info, KernelResources& resources) {
  return std::make_unique<Kernel>(info, resources);
}

const KernelEntry& simplified_layer_norm_entry();
const KernelEntry& skip_simplified_layer_norm_entry();
const KernelEntry& matmul_nbits_entry();
const KernelEntry& group_query_attention_entry();
const KernelEntry& paged_group_query_attention_entry();
const KernelEntry& paged_attention_entry();

/// Attributes of a node, or their defaults.
std::int64_t integer_attribute(Ort::ConstKernelInfo info, const char* name, std::int64_t otherwise);
float number_attribute(Ort::ConstKernelInfo info, const char* name, float otherwise);

/// A tensor type, for a kernel's type constraints.
const OrtDataType* tensor_type(ONNXTensorElementDataType type);
inline const OrtDataType* float_type() { return tensor_type(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT); }
inline const OrtDataType* int32_type() { return tensor_type(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32); }

/// For can_run: what goes into a node and comes out. Borrows both.
class NodePorts {
 public:
  NodePorts(const Graph& graph, const Node& node) : graph_(graph), node_(node) {}

  /// nullptr where it is left out.
  const Value* input(std::size_t index) const { return value_at(node_.input(index)); }
  const Value* output(std::size_t index) const { return value_at(node_.output(index)); }
  bool has(std::size_t input_index) const { return input(input_index) != nullptr; }
  bool has_output(std::size_t index) const { return output(index) != nullptr; }
  bool is(std::size_t input_index, ElementType type) const {
    return has(input_index) && input(input_index)->type == type;
  }
  bool output_is(std::size_t index, ElementType type) const {
    return has_output(index) && output(index)->type == type;
  }
  bool is_constant(std::size_t input_index) const {
    return has(input_index) && input(input_index)->constant.has_value();
  }

 private:
  const Value* value_at(ValueIndex index) const {
    return index == kNoValue ? nullptr : &graph_.values[static_cast<std::size_t>(index)];
  }

  const Graph& graph_;
  const Node& node_;
};

}  // namespace onnxlocal::ep
