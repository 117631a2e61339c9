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

/// One part of a message. A new kind of part is a new alternative.
using ContentBlock = std::variant<TextBlock>;

struct Message {
  Role role = Role::kUser;
  std::vector<ContentBlock> content;
  friend bool operator==(const Message&, const Message&) = default;
};

}  // namespace onnxlocal
