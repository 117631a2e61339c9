#include "text/native.h"

#include <utility>

namespace onnxlocal::native {

Error take_error(std::int32_t status, char* message) {
  const Owned<char, onnxlocal_error_free> owned(message);
  std::string text = message == nullptr ? std::string("no message") : std::string(message);
  switch (status) {
    case ONNXLOCAL_TEXT_INVALID_REQUEST: return invalid_request(std::move(text));
    case ONNXLOCAL_TEXT_MODEL_CORRUPT: return model_corrupt(std::move(text));
    case ONNXLOCAL_TEXT_UNSUPPORTED: return unsupported(std::move(text));
    case ONNXLOCAL_TEXT_TOO_LARGE: return too_large(std::move(text));
    case ONNXLOCAL_TEXT_OVERLOADED:
      return overloaded(std::move(text), "try again later, or restart the server");
    default: return internal_error(std::move(text));
  }
}

}  // namespace onnxlocal::native
