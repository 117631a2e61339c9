#include "plugin/fused_node.h"

#include <algorithm>
#include <string>

namespace onnxlocal::ep {

namespace {

/// The places of `wanted` among the names that the node shows.
std::vector<std::size_t> places_of(std::span<const std::string> wanted,
                                   const std::vector<Ort::ConstValueInfo>& shown) {
  std::vector<std::string> names;
  names.reserve(shown.size());
  for (const Ort::ConstValueInfo& value : shown) {
    names.push_back(value == nullptr ? std::string() : value.GetName());
  }
  std::vector<std::size_t> places;
  for (const std::string& name : wanted) {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) {
      const std::string message = "the fused node does not show the program's value " + name;
      Ort::ThrowOnError(fail(message, ORT_EP_FAIL));
    }
    places.push_back(static_cast<std::size_t>(found - names.begin()));
  }
  return places;
}

/// The outputs of one run, in ONNX Runtime's memory.
class ContextOutputs final : public RunOutputs {
 public:
  ContextOutputs(OrtKernelContext* context, std::span<const std::size_t> places)
      : context_(context), places_(places) {}
  void* allocate(std::size_t index, std::span<const std::int64_t> dims) override {
    return output_of(context_, places_[index], dims);
  }

 private:
  OrtKernelContext* context_;
  std::span<const std::size_t> places_;
};

}  // namespace

FusedNode::FusedNode(std::unique_ptr<CompiledProgram> program, const OrtNode* node)
    : OrtNodeComputeInfo{}, program_(std::move(program)) {
  const Ort::ConstNode shown(node);
  inputs_ = places_of(program_->inputs(), shown.GetInputs());
  outputs_ = places_of(program_->outputs(), shown.GetOutputs());
  ort_version_supported = ORT_API_VERSION;
  CreateState = [](OrtNodeComputeInfo*, OrtNodeComputeContext*,
                   void** state) noexcept -> OrtStatus* {
    *state = nullptr;
    return nullptr;
  };
  Compute = [](OrtNodeComputeInfo* info, void*, OrtKernelContext* context) noexcept {
    return guarded([&] { return static_cast<FusedNode*>(info)->run(context); });
  };
  ReleaseState = [](OrtNodeComputeInfo*, void*) noexcept {};
}

Ort::Status FusedNode::run(OrtKernelContext* context) {
  std::vector<RunInput> inputs;
  inputs.reserve(inputs_.size());
  for (const std::size_t place : inputs_) {
    const std::optional<TensorView> input = input_of(context, place);
    if (!input) return fail("input " + std::to_string(place) + " of the decoder is missing");
    inputs.push_back(
        {.type = static_cast<ElementType>(input->type), .dims = input->dims, .data = input->data});
  }
  ContextOutputs outputs(context, outputs_);
  if (const auto problem = program_->run(inputs, outputs)) return fail(*problem);
  return ok();
}

}  // namespace onnxlocal::ep
