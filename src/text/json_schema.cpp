#include "text/json_schema.h"

#include "text/native.h"

namespace onnxlocal {

Result<void> check_enforceable(std::string_view schema) {
  char* error = nullptr;
  const auto status = onnxlocal_schema_check(native::slice(schema), &error);
  if (status != ONNXLOCAL_TEXT_OK) return std::unexpected(native::take_error(status, error));
  return {};
}

Result<std::string> relax_schema(std::string_view schema) {
  onnxlocal_text relaxed{};
  char* error = nullptr;
  const auto status = onnxlocal_schema_relax(native::slice(schema), &relaxed, &error);
  if (status != ONNXLOCAL_TEXT_OK) return std::unexpected(native::take_error(status, error));
  std::string text(relaxed.data, relaxed.size);
  onnxlocal_text_free(relaxed);
  return text;
}

Result<void> validate_json(std::string_view schema, std::string_view instance) {
  char* error = nullptr;
  const auto status =
      onnxlocal_schema_validate(native::slice(schema), native::slice(instance), &error);
  if (status != ONNXLOCAL_TEXT_OK) return std::unexpected(native::take_error(status, error));
  return {};
}

}  // namespace onnxlocal
