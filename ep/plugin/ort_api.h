#pragma once

// ONNX Runtime as the plugin sees it: the API comes with the registration (OrtApiBase), and nothing
// is linked. Every function that ONNX Runtime calls goes through `guarded`: no exception crosses.

#include <onnxruntime_cxx_api.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace onnxlocal::ep {

/// Takes ONNX Runtime's API from its base. An error where the runtime is older than what the plugin
/// was built for; made by the newest API that the runtime has.
OrtStatus* take_api(const OrtApiBase& base) noexcept;

inline Ort::Status ok() { return Ort::Status(nullptr); }
inline Ort::Status fail(const std::string& message, OrtErrorCode code = ORT_INVALID_ARGUMENT) {
  return Ort::Status(message.c_str(), code);
}

/// Runs a body that returns Ort::Status, and turns whatever is thrown into one.
template <class Body>
OrtStatus* guarded(Body&& body) noexcept {
  try {
    return std::forward<Body>(body)().release();
  } catch (const Ort::Exception& error) {
    return Ort::GetApi().CreateStatus(error.GetOrtErrorCode(), error.what());
  } catch (const std::exception& error) {
    return Ort::GetApi().CreateStatus(ORT_EP_FAIL, error.what());
  } catch (...) {
    return Ort::GetApi().CreateStatus(ORT_EP_FAIL, "an unknown exception");
  }
}

/// Writes to a session's log; never fails.
void log_message(const OrtLogger* logger, OrtLoggingLevel level, const std::string& message);

/// A tensor of a run: borrowed, nothing is allocated to look at it.
struct TensorView {
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  std::span<const std::int64_t> dims;
  const void* data = nullptr;

  std::size_t count() const;
  template <class Number>
  const Number* as() const {
    return static_cast<const Number*>(data);
  }
  template <class Number>
  std::span<const Number> values() const {
    return {as<Number>(), count()};
  }
};
TensorView view_tensor(const OrtValue* value);
/// Input of a run; nothing where it was left out.
std::optional<TensorView> input_of(const OrtKernelContext* context, std::size_t index);
/// Memory of an output; nullptr where nobody wants it.
void* output_of(OrtKernelContext* context, std::size_t index, std::span<const std::int64_t> dims);

/// "[1, 16, 64]"
std::string to_text(std::span<const std::int64_t> dims);

}  // namespace onnxlocal::ep
