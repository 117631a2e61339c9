#include "runtime/ort_error.h"

#include <cstddef>
#include <string>

#include <fmt/format.h>

namespace onnxlocal {

namespace {

bool names_unknown_operator(std::string_view text) {
  return text.contains("is not a registered function/op") ||
         text.contains("No Op registered for") || text.contains("Could not find an implementation");
}

/// Drops what precedes the message itself: source file, function, and outer statuses'
/// "[ONNXRuntimeError] : 11 : EP_FAIL : ".
std::string_view without_origin(std::string_view text) {
  constexpr std::string_view kStatus = "[ONNXRuntimeError] : ";
  if (const auto status = text.rfind(kStatus); status != std::string_view::npos) {
    const std::string_view rest = text.substr(status + kStatus.size());
    const auto code = rest.find(" : ");
    const auto name = code == std::string_view::npos ? code : rest.find(" : ", code + 3);
    if (name != std::string_view::npos) text = rest.substr(name + 3);
  }
  if (text.starts_with('/') && text.contains(".cc:")) {
    const auto end = text.find(") ");
    if (end != std::string_view::npos) text = text.substr(end + 2);
  }
  return text;
}

}  // namespace

std::string_view first_line(std::string_view text) {
  constexpr std::size_t kCharactersMax = 400;
  text = without_origin(text.substr(0, text.find('\n')));
  return text.substr(0, kCharactersMax);
}

Error to_error(std::string_view where, const Ort::Exception& exception) {
  const std::string_view text = first_line(exception.what());
  std::string message = fmt::format("{}: {}", where, text);
  if (names_unknown_operator(exception.what())) {
    return unsupported(std::move(message),
                       "the model needs an operator that this ONNX Runtime does not have: export "
                       "it for ONNX Runtime " +
                           Ort::GetVersionString() + " or older");
  }
  switch (exception.GetOrtErrorCode()) {
    case ORT_NO_SUCHFILE:
    case ORT_NO_MODEL:
    case ORT_INVALID_PROTOBUF:
    case ORT_INVALID_GRAPH:
      return model_corrupt(std::move(message), "import or download the model again");
    case ORT_NOT_IMPLEMENTED: return unsupported(std::move(message));
    case ORT_MODEL_LOAD_CANCELED: return cancelled();
    case ORT_NOT_FOUND: return not_found(std::move(message));
    default: return internal_error(std::move(message));
  }
}

}  // namespace onnxlocal
