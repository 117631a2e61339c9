#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/fields.h"
#include "generation/message.h"

namespace onnxlocal::openai {

/// Gathers the turns of chat messages or response items in one canonical form, so that the same
/// conversation gives the same tokens however its JSON was written: system texts before all others
/// are one message, later ones become marked user text where they stand; neighbours of one role are
/// one message, their texts joined by a blank line. Appending turns never moves earlier ones.
class Conversation {
 public:
  void add_system(std::string_view text);
  void add_user(std::string_view text) { add_text(Role::kUser, text); }
  void add_assistant(std::string_view text) { add_text(Role::kAssistant, text); }
  void add_thinking(std::string_view text);
  /// `arguments` is a JSON object in the client's own words; empty means `{}`. Errors:
  /// invalid_request, naming `path`.
  Result<void> add_call(std::string_view id, std::string_view name, std::string_view arguments,
                        std::string_view path);
  void add_call_result(std::string_view id, std::string_view text);

  bool is_empty() const { return messages_.empty(); }
  std::vector<Message> finish() { return std::move(messages_); }

 private:
  void add_text(Role role, std::string_view text);
  Message& message_of(Role role);

  std::vector<Message> messages_;
  std::map<std::string, std::string, std::less<>> call_names_;  ///< By the call's id.
};

/// The text of a message's or a result's `content`: a string, or parts whose texts are joined by a
/// line break. Null has none. Errors: invalid_request, naming the part's path and type.
Result<std::string> parse_content(const json::value* content, const std::string& path);

}  // namespace onnxlocal::openai
