#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace onnxlocal {

/// One server-sent event. JSON text has no line breaks of its own, so one `data:` line is enough.
inline std::string sse_event(std::string_view name, const json::value& data) {
  std::string text = "event: ";
  text += name;
  text += "\ndata: ";
  text += json::serialize(data);
  text += "\n\n";
  return text;
}

}  // namespace onnxlocal
