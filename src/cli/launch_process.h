#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace onnxlocal {

/// The program `name` in the folders of `path` (as PATH lists them); empty where there is none.
std::optional<std::filesystem::path> find_program(std::string_view name, std::string_view path);

/// This process's variables, "NAME=value" each.
std::vector<std::string> own_environment();

/// A program to start. No shell: the arguments reach it as they are.
struct ChildOrder {
  std::filesystem::path program;
  std::vector<std::string> arguments;    ///< Without the program's own name.
  std::vector<std::string> environment;  ///< "NAME=value" each.
  /// Where its output goes, errors too, with nothing to read. Empty: it shares the terminal.
  std::filesystem::path output_file = {};
};

/// Signals that a program which runs others looks at in its own time: SIGINT, SIGQUIT, SIGTERM,
/// SIGHUP and SIGCHLD stay blocked while it lives. Main thread; one at a time.
class LaunchSignals {
 public:
  LaunchSignals();
  ~LaunchSignals();
  LaunchSignals(const LaunchSignals&) = delete;
  LaunchSignals& operator=(const LaunchSignals&) = delete;

  /// The next signal, SIGCHLD too, or none after `patience`.
  std::optional<siginfo_t> wait(std::chrono::milliseconds patience) const;
  /// What was blocked before: children begin with it.
  const sigset_t& earlier() const { return earlier_; }

 private:
  sigset_t taken_{};
  sigset_t earlier_{};
};

/// A running program. One that has a file for its output is a servant: in a process group of its
/// own, so that Ctrl-C does not reach it, and ended with this process.
class ChildProcess {
 public:
  /// Errors: unavailable (no such program, no process left, the output file); internal.
  static Result<ChildProcess> start(const ChildOrder& order, const LaunchSignals& signals);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  /// Ends it: SIGTERM, and after some seconds SIGKILL.
  ~ChildProcess();

  /// 128 + signal where a signal ended it; empty while it runs.
  std::optional<int> exit_code();
  void send(int signal) const;

 private:
  explicit ChildProcess(pid_t process) : process_(process) {}
  pid_t process_;
  std::optional<int> exit_code_;
};

/// Waits for the program. Signals that this process alone gets are passed on; those of the terminal
/// reach the program by themselves. Returns its exit code.
int wait_and_pass_signals(ChildProcess& child, const LaunchSignals& signals);

}  // namespace onnxlocal
