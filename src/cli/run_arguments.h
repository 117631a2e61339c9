#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace onnxlocal {

/// What `onnx-local run` was given.
struct RunInput {
  std::vector<std::string> positionals;        ///< At most two.
  std::optional<std::string> model_flag = {};  ///< `--model`.
  std::optional<std::string> piped = {};       ///< Standard input, where it is no terminal.
  bool is_json = false;
};

struct RunPlan {
  std::string model;                       ///< Empty: the default.
  std::optional<std::string> prompt = {};  ///< Empty: a chat.
  friend bool operator==(const RunPlan&, const RunPlan&) = default;
};

/// Two positionals are model and prompt. One is the model where `is_model` knows it, else the
/// prompt; after `--model` it is the prompt. What is piped (without its last line break) is the
/// prompt, or follows it after an empty line. Errors: invalid_request (nothing to answer, more than
/// can be meant).
Result<RunPlan> plan_run(const RunInput& input,
                         const std::function<bool(const std::string&)>& is_model);

/// A line that a user typed into the chat.
struct ChatSay {
  std::string text;
};
enum class ChatCommand { kNothing, kHelp, kClear, kStats, kExit };
struct ChatSystem {
  std::string text;  ///< Empty: show it.
};
struct ChatUnknown {
  std::string command;
};
using ChatLine = std::variant<ChatSay, ChatCommand, ChatSystem, ChatUnknown>;
ChatLine parse_chat_line(std::string_view line);

}  // namespace onnxlocal
