#pragma once

#include <string>
#include <variant>
#include <vector>

namespace onnxlocal {

enum class Role { kSystem, kUser, kAssistant };

/// UTF-8 text.
struct TextBlock {
  std::string text;
  friend bool operator==(const TextBlock&, const TextBlock&) = default;
};

/// What the model thought before it answered. Assistant only.
struct ThinkingBlock {
  std::string text;
  friend bool operator==(const ThinkingBlock&, const ThinkingBlock&) = default;
};

/// A call that the model made. Assistant only.
struct ToolUseBlock {
  std::string id;
  std::string name;
  std::string input;  ///< A JSON object, the writer's own text: key order and numbers kept.
  friend bool operator==(const ToolUseBlock&, const ToolUseBlock&) = default;
};

/// What a call brought. User only.
struct ToolResultBlock {
  std::string tool_use_id;
  std::string name;  ///< Of the tool that was called; empty where the call is not in the history.
  std::string text;
  bool is_error = false;
  friend bool operator==(const ToolResultBlock&, const ToolResultBlock&) = default;
};

/// One part of a message. A new kind of part is a new alternative.
using ContentBlock = std::variant<TextBlock, ThinkingBlock, ToolUseBlock, ToolResultBlock>;

struct Message {
  Role role = Role::kUser;
  std::vector<ContentBlock> content;
  friend bool operator==(const Message&, const Message&) = default;
};

}  // namespace onnxlocal
