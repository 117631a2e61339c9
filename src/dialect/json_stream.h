#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace onnxlocal {

/// Reads one JSON value (RFC 8259) that comes in pieces, and gives on as much of it as can still be
/// closed into valid JSON: strings as they come; numbers, literals, keys and commas once what they
/// belong to has begun. The writer's own text is kept, but for line breaks and other control
/// characters within strings (escaped, for models write them so) and half surrogate pairs (U+FFFD).
/// Copyable; one thread.
class JsonStream {
 public:
  enum class Status {
    kOpen,
    kDone,    ///< The value is complete: nothing more is taken.
    kBroken,  ///< Not JSON from here on: nothing more is taken.
  };

  /// Takes bytes up to the value's end and appends what is certain to `out`; how many were taken.
  std::size_t push(std::string_view text, std::string& out);
  Status status() const { return status_; }
  /// Ends a value that is cut off or broken: appends what closes it, the half of a pair left out.
  /// Nothing where the value is complete. `{}` where it had not begun.
  void close(std::string& out);

 private:
  enum class State {
    kValue,
    kValueOrEnd,
    kKeyOrEnd,
    kKey,
    kInKey,
    kColon,
    kInString,
    kAfterValue,
    kScalar
  };
  /// Deeper than this no tool's input is; base/json.h reads as deep.
  static constexpr std::size_t kDepthMax = 64;
  static constexpr std::size_t kHeldBytesMax = std::size_t{1} << 16;

  /// False where the byte belongs to what comes after the value.
  bool take(char byte, std::string& out);
  void begin_value(char byte, std::string& out);
  void take_in_string(char byte, std::string& out);
  bool take_escape(char byte, std::string& out);
  void end_scalar(std::string& out);
  void end_value();
  void end_container(char byte, std::string& out);
  void emit(char byte, std::string& out);
  void break_off() { status_ = Status::kBroken; }

  Status status_ = Status::kOpen;
  State state_ = State::kValue;
  std::vector<char> open_;  ///< '{' and '['.
  std::string held_;        ///< Read, but not given on yet.
  std::string escape_;      ///< An escape that is not complete, from its backslash on.
  bool has_begun_ = false;  ///< Something was given on.
};

}  // namespace onnxlocal
