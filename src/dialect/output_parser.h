#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "dialect/call_body.h"
#include "dialect/dialect.h"

namespace onnxlocal {

struct ParsedText {
  std::string text;
  friend bool operator==(const ParsedText&, const ParsedText&) = default;
};
struct ParsedThinking {
  std::string text;
  friend bool operator==(const ParsedThinking&, const ParsedThinking&) = default;
};
/// A call begins; its input follows, until its end.
struct ParsedCall {
  std::string name;
  friend bool operator==(const ParsedCall&, const ParsedCall&) = default;
};
/// All parts of a call's input joined are one JSON object.
struct ParsedInput {
  std::string json;
  friend bool operator==(const ParsedInput&, const ParsedInput&) = default;
};
struct ParsedCallEnd {
  bool is_whole = true;  ///< False where the input was cut off or was no JSON: it was closed.
  friend bool operator==(const ParsedCallEnd&, const ParsedCallEnd&) = default;
};
using ParsedEvent =
    std::variant<ParsedText, ParsedThinking, ParsedCall, ParsedInput, ParsedCallEnd>;

struct OutputParserOptions {
  bool begins_thinking = false;  ///< The prompt ends within thinking.
  bool reads_calls = true;       ///< False: calls are plain text.
  /// Where a reply bears no mark, it is a call only if it names one of these.
  std::vector<std::string> tool_names;
};

/// Turns a model's raw text, in any pieces, into thinking, text and calls. Events do not depend on
/// how the text was cut, but for the cuts between deltas; no part of a mark ever shows. What is no
/// call after all comes out as text. White space around thinking and calls is left out. Takes what
/// models write without a grammar too. Copyable; one thread.
class OutputParser {
 public:
  OutputParser(std::shared_ptr<const Dialect> dialect, OutputParserOptions options);

  void push(std::string_view text, std::vector<ParsedEvent>& events);
  /// The reply is over, or (`is_cut`) broken off somewhere. Call once, last. A call that was cut
  /// off is closed, or left out where its name was not known yet; so is half a mark.
  void finish(std::vector<ParsedEvent>& events, bool is_cut = false);

  bool is_thinking() const { return state_ == State::kThinking; }
  /// From a mark that begins a call to what ends it.
  bool is_calling() const {
    return state_ == State::kBetween || state_ == State::kHeader || state_ == State::kBody;
  }

 private:
  enum class State {
    kBegin,  ///< Nothing but white space, or thinking, came.
    kThinking,
    kText,
    kBetween,  ///< After a mark of calls, before a call.
    kHeader,   ///< In a call's name.
    kBody,
    kSkip,  ///< Behind a broken call.
  };
  using Events = std::vector<ParsedEvent>;

  /// Each does a step on `buffer_`: false where more text is needed.
  bool step(Events& events);
  bool begin(Events& events);
  bool think(Events& events);
  bool talk(Events& events);
  bool look_for_call(Events& events);
  bool read_header(Events& events);
  bool read_body(Events& events);
  bool skip();

  void enter_calls(std::string raw, bool is_opened);
  void give_up_call(Events& events);
  void add_text(std::string_view text, Events& events);
  void add_piece(CallPiece piece, Events& events);
  bool is_known(std::string_view name) const;
  /// Whether `text` may yet become one of `marks`.
  static bool may_become(std::string_view text, const std::vector<std::string>& marks);

  std::shared_ptr<const Dialect> dialect_;
  OutputParserOptions options_;
  std::vector<std::string> call_marks_;  ///< Of calls, longest first.
  std::vector<std::string> begin_marks_;

  State state_ = State::kBegin;
  std::string buffer_;  ///< Came, but is not read.
  std::string raw_;     ///< Read as the beginning of a call: text, if no call comes of it.
  std::optional<CallBody> body_;
  bool is_last_ = false;  ///< No more text comes.
  bool is_cut_ = false;
  bool has_thought_ = false;
  bool is_trimming_ = false;  ///< White space in front of the next text is left out.
  bool is_opened_ = false;    ///< By a mark, which nothing closed yet.
  bool needs_known_name_ = false;
  bool has_called_ = false;  ///< Since the last text.
};

}  // namespace onnxlocal
