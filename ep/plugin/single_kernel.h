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

/// For can_run: the value of an input or output; nullptr where it is left out.
const Value* input_value(const Graph& graph, const Node& node, std::size_t index);
const Value* output_value(const Graph& graph, const Node& node, std::size_t index);
bool has_type(const Value* value, ElementType type);
/// The last dimension; -1 where it is not known.
std::int64_t last_dim(const Value* value);

}  // namespace onnxlocal::ep
