#include "plugin/single_kernel.h"

namespace onnxlocal::ep {

namespace {

SingleKernel& self(OrtKernelImpl* kernel) { return *static_cast<SingleKernel*>(kernel); }

}  // namespace

SingleKernel::SingleKernel() : OrtKernelImpl{} {
  ort_version_supported = ORT_API_VERSION;
  Compute = [](OrtKernelImpl* kernel, OrtKernelContext* context) noexcept {
    return guarded([&] { return self(kernel).compute(context); });
  };
  Release = [](OrtKernelImpl* kernel) noexcept {
    const std::unique_ptr<SingleKernel> released(&self(kernel));
  };
  PrePackWeight = [](OrtKernelImpl* kernel, const OrtValue* tensor, int input, OrtAllocator*,
                     OrtSharedPrePackedWeightCache*, bool* is_packed) noexcept {
    *is_packed = false;
    return guarded([&] {
      *is_packed = self(kernel).prepack(tensor, input);
      return ok();
    });
  };
}

bool SingleKernel::prepack(const OrtValue* /*tensor*/, int /*input*/) { return false; }

std::int64_t integer_attribute(Ort::ConstKernelInfo info, const char* name,
                               std::int64_t otherwise) {
  std::int64_t value = 0;
  const Ort::Status status(Ort::GetApi().KernelInfoGetAttribute_int64(info, name, &value));
  return status.IsOK() ? value : otherwise;
}

float number_attribute(Ort::ConstKernelInfo info, const char* name, float otherwise) {
  float value = 0;
  const Ort::Status status(Ort::GetApi().KernelInfoGetAttribute_float(info, name, &value));
  return status.IsOK() ? value : otherwise;
}

const OrtDataType* tensor_type(ONNXTensorElementDataType type) {
  const OrtDataType* found = nullptr;
  Ort::ThrowOnError(Ort::GetEpApi().GetTensorDataType(type, &found));
  return found;
}

}  // namespace onnxlocal::ep
