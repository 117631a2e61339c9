#pragma once

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/interrupt.h"

namespace onnxlocal {

bool is_terminal(std::FILE* stream);
/// Columns of the terminal behind `stream`; 80 where it is none.
unsigned terminal_columns(std::FILE* stream);

/// `text` without the control characters that would move the cursor, change colours or worse: what
/// a model says is data, not orders to a terminal. Line breaks and tabs stay.
std::string without_control_characters(std::string_view text);

/// All of standard input. Errors: too_large, cancelled, internal.
Result<std::string> read_standard_input(std::size_t bytes_max, Interrupts& interrupts);

/// Lines of standard input, each as soon as it is there. One thread.
class LineReader {
 public:
  enum class End { kEndOfInput, kInterrupted };
  /// A line without its line break, or why there is none.
  std::expected<std::string, End> read_line(Interrupts& interrupts);

 private:
  std::string buffer_;
  bool is_at_end_ = false;
};

}  // namespace onnxlocal
