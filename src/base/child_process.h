#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"

namespace onnxlocal {

struct ChildCommand {
  std::filesystem::path program;
  std::vector<std::string> arguments;  ///< After the program's name.
  std::string_view input;              ///< For its standard input, then the end of it.
  std::size_t output_bytes_max = std::size_t{1} << 20;
};

struct ChildOutcome {
  int exit_code = 0;  ///< See `exit_code_of`.
  std::string output;
};

/// What `waitpid` told of a child that ended, as an exit code: 128 + signal where one ended it.
int exit_code_of(int status);

/// The texts as `exec` takes them; null ends them. Borrows the texts.
std::vector<char*> exec_list(std::span<std::string> texts);

/// Runs a program and takes what it writes to standard output; its standard error goes nowhere, and
/// it inherits no other descriptor and an empty environment. No shell. What does not end by the
/// deadline, or writes more than it may, is killed; in any case it is gone when this returns. Any
/// thread.
/// Errors: timed_out; too_large (output); unavailable (it cannot be started); internal.
Result<ChildOutcome> run_child(const ChildCommand& command, Deadline deadline);

/// For a child that reads what it must not trust: from now on the process may use so much processor
/// time and address space, open no file for writing, and leave no core file.
/// Errors: internal.
Result<void> limit_this_process(unsigned cpu_s, std::uint64_t address_bytes);

}  // namespace onnxlocal
