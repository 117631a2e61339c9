#include "api/anthropic/cache_control.h"

#include <string_view>

namespace onnxlocal::anthropic {

Result<std::optional<std::chrono::seconds>> parse_cache_control(const Fields& fields) {
  std::optional<std::chrono::seconds> ttl;
  TRY(const auto control, fields.object("cache_control"));
  if (!control) return ttl;
  TRY(const std::string_view type, control->require_text("type"));
  if (type != "ephemeral") {
    return std::unexpected(field_error(control->path_of("type"), "Input should be 'ephemeral'"));
  }
  TRY(const auto text, control->text("ttl"));
  ttl = std::chrono::minutes(5);
  if (!text || *text == "5m") return ttl;
  if (*text != "1h") {
    return std::unexpected(field_error(control->path_of("ttl"), "Input should be '5m' or '1h'"));
  }
  ttl = std::chrono::hours(1);
  return ttl;
}

}  // namespace onnxlocal::anthropic
