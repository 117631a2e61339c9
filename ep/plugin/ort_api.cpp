#include "plugin/ort_api.h"

namespace onnxlocal::ep {

OrtStatus* take_api(const OrtApiBase& base) noexcept {
  if (const OrtApi* api = base.GetApi(ORT_API_VERSION)) {
    Ort::InitApi(api);
    return nullptr;
  }
  // CreateStatus is there since the first version and has stayed where it was.
  for (std::uint32_t version = ORT_API_VERSION - 1; version > 0; --version) {
    const OrtApi* api = base.GetApi(version);
    if (api == nullptr) continue;
    try {
      const std::string message = "onnx-local's execution provider needs ONNX Runtime 1." +
                                  std::to_string(ORT_API_VERSION) + " or newer; this is " +
                                  base.GetVersionString();
      return api->CreateStatus(ORT_NOT_IMPLEMENTED, message.c_str());
    } catch (...) {
      return api->CreateStatus(ORT_NOT_IMPLEMENTED, "this ONNX Runtime is too old");
    }
  }
  return nullptr;
}

void log_message(const OrtLogger* logger, OrtLoggingLevel level, const std::string& message) {
  // The status of a message that could not be logged has nowhere to go.
  const Ort::Status status(Ort::GetApi().Logger_LogMessage(logger, level, message.c_str(), ORT_FILE,
                                                           __LINE__, "onnx-local"));
}

std::size_t TensorView::count() const {
  std::size_t total = 1;
  for (const std::int64_t dim : dims) total *= static_cast<std::size_t>(dim);
  return total;
}

TensorView view_tensor(const OrtValue* value) {
  TensorView view;
  const std::int64_t* dims = nullptr;
  std::size_t rank = 0;
  Ort::ThrowOnError(
      Ort::GetApi().GetTensorElementTypeAndShapeDataReference(value, &view.type, &dims, &rank));
  view.dims = {dims, rank};
  Ort::ThrowOnError(Ort::GetApi().GetTensorData(value, &view.data));
  return view;
}

std::optional<TensorView> input_of(const OrtKernelContext* context, std::size_t index) {
  std::size_t count = 0;
  Ort::ThrowOnError(Ort::GetApi().KernelContext_GetInputCount(context, &count));
  if (index >= count) return std::nullopt;
  const OrtValue* value = nullptr;
  Ort::ThrowOnError(Ort::GetApi().KernelContext_GetInput(context, index, &value));
  if (value == nullptr) return std::nullopt;
  return view_tensor(value);
}

void* output_of(OrtKernelContext* context, std::size_t index, std::span<const std::int64_t> dims) {
  std::size_t count = 0;
  Ort::ThrowOnError(Ort::GetApi().KernelContext_GetOutputCount(context, &count));
  if (index >= count) return nullptr;
  OrtValue* value = nullptr;
  Ort::ThrowOnError(
      Ort::GetApi().KernelContext_GetOutput(context, index, dims.data(), dims.size(), &value));
  if (value == nullptr) return nullptr;
  void* data = nullptr;
  Ort::ThrowOnError(Ort::GetApi().GetTensorMutableData(value, &data));
  return data;
}

std::string to_text(std::span<const std::int64_t> dims) {
  std::string text = "[";
  for (const std::int64_t dim : dims) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(dim);
  }
  return text + "]";
}

}  // namespace onnxlocal::ep
