#include "plugin/custom_operators.h"

#include <array>

#include "plugin/names.h"

namespace onnxlocal::ep {

namespace {

constexpr auto kFloat = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
constexpr auto kUint8 = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
constexpr auto kInt32 = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;

struct Port {
  ONNXTensorElementDataType type;
  OrtCustomOpInputOutputCharacteristic presence;
};
constexpr auto kRequired = INPUT_OUTPUT_REQUIRED;
constexpr auto kOptional = INPUT_OUTPUT_OPTIONAL;

// names.h: query, key, value, pages, sequence_starts, past_lengths, page_table, cos, sin, norms.
constexpr std::array<Port, 11> kInputs{{{kFloat, kRequired},
                                        {kFloat, kOptional},
                                        {kFloat, kOptional},
                                        {kUint8, kRequired},
                                        {kInt32, kRequired},
                                        {kInt32, kRequired},
                                        {kInt32, kRequired},
                                        {kFloat, kOptional},
                                        {kFloat, kOptional},
                                        {kFloat, kOptional},
                                        {kFloat, kOptional}}};
constexpr std::array<Port, 2> kOutputs{{{kFloat, kRequired}, {kUint8, kRequired}}};
constexpr int kVersionMax = 1'000'000;

OrtCustomOp paged_attention() {
  OrtCustomOp op{};
  op.version = ORT_API_VERSION;
  op.GetName = [](const OrtCustomOp*) noexcept { return kPagedAttentionOp; };
  op.GetExecutionProviderType = [](const OrtCustomOp*) noexcept -> const char* { return nullptr; };
  op.GetInputTypeCount = [](const OrtCustomOp*) noexcept { return kInputs.size(); };
  op.GetInputType = [](const OrtCustomOp*, std::size_t i) noexcept { return kInputs[i].type; };
  op.GetInputCharacteristic = [](const OrtCustomOp*, std::size_t i) noexcept {
    return kInputs[i].presence;
  };
  op.GetInputMemoryType = [](const OrtCustomOp*, std::size_t) noexcept {
    return OrtMemTypeDefault;
  };
  op.GetOutputTypeCount = [](const OrtCustomOp*) noexcept { return kOutputs.size(); };
  op.GetOutputType = [](const OrtCustomOp*, std::size_t i) noexcept { return kOutputs[i].type; };
  op.GetOutputCharacteristic = [](const OrtCustomOp*, std::size_t i) noexcept {
    return kOutputs[i].presence;
  };
  op.GetVariadicInputMinArity = [](const OrtCustomOp*) noexcept { return 1; };
  op.GetVariadicInputHomogeneity = [](const OrtCustomOp*) noexcept { return 1; };
  op.GetVariadicOutputMinArity = [](const OrtCustomOp*) noexcept { return 1; };
  op.GetVariadicOutputHomogeneity = [](const OrtCustomOp*) noexcept { return 1; };
  op.GetStartVersion = [](const OrtCustomOp*) noexcept { return 1; };
  op.GetEndVersion = [](const OrtCustomOp*) noexcept { return kVersionMax; };
  op.CreateKernelV2 = [](const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*,
                         void** kernel) noexcept -> OrtStatus* {
    *kernel = nullptr;
    return guarded([] {
      return fail(std::string(kDomain) + "." + kPagedAttentionOp + " runs in " + kProviderName +
                      " alone, which was not added to this session or could not take the node",
                  ORT_NOT_IMPLEMENTED);
    });
  };
  op.KernelComputeV2 = [](void*, OrtKernelContext*) noexcept -> OrtStatus* { return nullptr; };
  op.KernelDestroy = [](void*) noexcept {};
  return op;
}

}  // namespace

CustomOperators::CustomOperators() : paged_attention_(paged_attention()) {
  domain_ = Ort::CustomOpDomain(kDomain);
  domain_.Add(&paged_attention_);
}

}  // namespace onnxlocal::ep
