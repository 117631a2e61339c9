#pragma once

#include <string>

namespace onnxlocal {

/// A tool that the model may call.
struct ToolDefinition {
  std::string name;
  std::string description;
  std::string input_schema;  ///< A JSON schema, the client's own text: key order and numbers kept.
  /// The input must satisfy the whole schema; what cannot be enforced was refused.
  bool is_strict = false;
  /// False for a deferred tool: the model was told of it where a tool result names it, so it can
  /// call it, and the list of tools in front of the conversation stays as it was.
  bool is_listed = true;
  friend bool operator==(const ToolDefinition&, const ToolDefinition&) = default;
};

/// Whether the model must call.
struct ToolChoice {
  enum class Mode {
    kAuto,   ///< Talk or call.
    kAny,    ///< At least one call, of any tool.
    kNamed,  ///< A call of `name`.
    kNone,   ///< No call; the tools stay in the prompt, so that its prefix does.
  };
  Mode mode = Mode::kAuto;
  std::string name;
  bool allows_parallel = true;  ///< Several calls in one turn.
  friend bool operator==(const ToolChoice&, const ToolChoice&) = default;
};

}  // namespace onnxlocal
