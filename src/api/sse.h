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

/// An event without a name. `json` is JSON text without line breaks.
inline std::string sse_data_text(std::string_view json) {
  std::string text = "data: ";
  text += json;
  text += "\n\n";
  return text;
}

inline std::string sse_data(const json::value& data) {
  return sse_data_text(json::serialize(data));
}

/// What ends the streams of OpenAI's formats.
inline std::string sse_done() { return sse_data_text("[DONE]"); }

}  // namespace onnxlocal
