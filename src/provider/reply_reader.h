#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "dialect/dialect.h"
#include "dialect/output_parser.h"
#include "generation/event.h"
#include "generation/message.h"

namespace onnxlocal {

/// "toolu_" and 24 random letters and digits.
std::string make_tool_use_id();

/// A call's input is over.
struct ToolInputEnded {
  ToolUseBlock call;
  bool is_whole = true;  ///< False where we closed it: it was cut off, or no JSON.
};
using ReplyEvent =
    std::variant<GenerationDelta, ThinkingDelta, ToolUseStarted, ToolInputDelta, ToolInputEnded>;

/// Turns a model's raw text into the events of a reply (text, thinking, calls), and gathers what it
/// said as the message that will come back in the history. Copyable, for a second try from the
/// same place. One thread.
class ReplyReader {
 public:
  struct Options {
    OutputParserOptions parser;
    bool shows_thinking = false;  ///< Else it is read, and left out.
  };
  ReplyReader(std::shared_ptr<const Dialect> dialect, Options options);

  /// `reports` belong to the tokens of `text`; those of thinking and calls are left out.
  void push(std::string_view text, std::vector<TokenReport> reports,
            std::vector<ReplyEvent>& events);
  /// The text is over, or (`is_cut`) broken off somewhere. Call once, last.
  void finish(std::vector<ReplyEvent>& events, bool is_cut = false);

  bool is_thinking() const { return parser_.is_thinking(); }
  bool is_calling() const { return parser_.is_calling(); }
  /// A call began, and its input has not ended yet.
  bool is_in_input() const { return is_in_input_; }
  bool has_called() const { return calls_ > 0; }
  std::uint32_t thinking_tokens() const { return thinking_tokens_; }
  /// Calls whose input was closed by us, being cut off or no JSON.
  std::uint32_t closed_calls() const { return closed_calls_; }
  /// What was shown so far: thinking, text and calls in order.
  const Message& message() const { return message_; }

 private:
  void translate(std::vector<ReplyEvent>& events);
  void add_text(std::string text, std::vector<ReplyEvent>& events);

  OutputParser parser_;
  bool shows_thinking_;
  std::vector<ParsedEvent> parsed_;
  std::vector<TokenReport> reports_;  ///< Of text that is still held back.
  Message message_{.role = Role::kAssistant, .content = {}};
  bool is_in_input_ = false;
  std::uint32_t calls_ = 0;
  std::uint32_t closed_calls_ = 0;
  std::uint32_t thinking_tokens_ = 0;
};

}  // namespace onnxlocal
