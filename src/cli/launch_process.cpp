#include "cli/launch_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/child_process.h"
#include "base/deadline.h"
#include "base/pipe.h"

namespace onnxlocal {

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kLook{20};
/// A server lets running requests finish; nobody waits for them any more.
constexpr seconds kPoliteEnd{10};
constexpr int kCodeLost = 128;
constexpr int kOutputMode = 0600;

struct Prepared {
  const char* program;
  char* const* arguments;
  char* const* environment;
  int output = -1;  ///< -1: the terminal's.
  int input = -1;
  int report = -1;  ///< Gets `errno` where the program could not be started.
  const sigset_t* signals;
  pid_t parent;
};

/// In the new process: only what POSIX allows between fork and exec.
[[noreturn]] void become(const Prepared& prepared) {
  if (prepared.output >= 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != prepared.parent) ::kill(::getpid(), SIGKILL);
    ::dup2(prepared.input, STDIN_FILENO);
    ::dup2(prepared.output, STDOUT_FILENO);
    ::dup2(prepared.output, STDERR_FILENO);
  }
  ::sigprocmask(SIG_SETMASK, prepared.signals, nullptr);
  ::execve(prepared.program, prepared.arguments, prepared.environment);
  const int error = errno;
  static_cast<void>(::write(prepared.report, &error, sizeof error) == sizeof error);
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

Error not_started(const ChildOrder& order, int error) {
  return unavailable(
      fmt::format("cannot start {}: {}", order.program.string(), std::strerror(error)));
}

}  // namespace

std::optional<fs::path> find_program(std::string_view name, std::string_view path) {
  while (!path.empty()) {
    const auto end = path.find(':');
    const fs::path candidate = fs::path(path.substr(0, end)) / name;
    path = end == std::string_view::npos ? std::string_view() : path.substr(end + 1);
    std::error_code failed;
    if (!candidate.is_absolute() || !fs::is_regular_file(candidate, failed)) continue;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return std::nullopt;
}

std::vector<std::string> own_environment() {
  std::vector<std::string> result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    result.emplace_back(*entry);
  }
  return result;
}

LaunchSignals::LaunchSignals() {
  ::sigemptyset(&taken_);
  for (const int signal : {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGCHLD}) {
    ::sigaddset(&taken_, signal);
  }
  CHECK(::pthread_sigmask(SIG_BLOCK, &taken_, &earlier_) == 0);
}

LaunchSignals::~LaunchSignals() { ::pthread_sigmask(SIG_SETMASK, &earlier_, nullptr); }

std::optional<siginfo_t> LaunchSignals::wait(milliseconds patience) const {
  const timespec limit{.tv_sec = patience.count() / 1000,
                       .tv_nsec = patience.count() % 1000 * 1'000'000};
  siginfo_t signal{};
  if (::sigtimedwait(&taken_, &signal, &limit) < 0) return std::nullopt;
  return signal;
}

Result<ChildProcess> ChildProcess::start(const ChildOrder& order, const LaunchSignals& signals) {
  Descriptor output;
  Descriptor input;
  if (!order.output_file.empty()) {
    output = Descriptor(
        ::open(order.output_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kOutputMode));
    if (!output.is_open()) {
      return std::unexpected(unavailable(
          fmt::format("cannot write {}: {}", order.output_file.string(), std::strerror(errno))));
    }
    input = Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  }
  TRY(Pipe report, make_pipe());
  std::vector<std::string> arguments = {order.program.filename().string()};
  arguments.insert(arguments.end(), order.arguments.begin(), order.arguments.end());
  std::vector<std::string> environment = order.environment;
  const std::vector<char*> argument_list = exec_list(arguments);
  const std::vector<char*> environment_list = exec_list(environment);
  const Prepared prepared{.program = order.program.c_str(),
                          .arguments = argument_list.data(),
                          .environment = environment_list.data(),
                          .output = output.number(),
                          .input = input.number(),
                          .report = report.write.number(),
                          .signals = &signals.earlier(),
                          .parent = ::getpid()};
  const pid_t process = ::fork();
  if (process == 0) become(prepared);
  if (process < 0) return std::unexpected(not_started(order, errno));
  ChildProcess child(process);
  report.write.close();
  int error = 0;
  // The pipe closes when the program runs.
  if (::read(report.read.number(), &error, sizeof error) == sizeof error) {
    return std::unexpected(not_started(order, error));
  }
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : process_(std::exchange(other.process_, -1)), exit_code_(other.exit_code_) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(process_, other.process_);
  std::swap(exit_code_, other.exit_code_);
  return *this;
}

ChildProcess::~ChildProcess() {
  if (process_ < 0 || exit_code()) return;
  send(SIGTERM);
  const auto deadline = Deadline::after(kPoliteEnd);
  while (!exit_code()) {
    if (deadline.has_passed()) send(SIGKILL);
    const timespec pause{.tv_sec = 0, .tv_nsec = kLook.count() * 1'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

std::optional<int> ChildProcess::exit_code() {
  if (exit_code_) return exit_code_;
  int status = 0;
  const pid_t ended = ::waitpid(process_, &status, WNOHANG);
  if (ended == process_) exit_code_ = exit_code_of(status);
  // Somebody else has waited for it: there is no code to tell.
  if (ended < 0 && errno == ECHILD) exit_code_ = kCodeLost;
  return exit_code_;
}

void ChildProcess::send(int signal) const { ::kill(process_, signal); }

int wait_and_pass_signals(ChildProcess& child, const LaunchSignals& signals) {
  constexpr milliseconds kPatience{1000};
  for (;;) {
    if (const auto code = child.exit_code()) return *code;
    const auto signal = signals.wait(kPatience);
    if (!signal || signal->si_signo == SIGCHLD) continue;
    const bool is_from_terminal = signal->si_code == SI_KERNEL;
    if (!is_from_terminal) child.send(signal->si_signo);
  }
}

}  // namespace onnxlocal
