#include "base/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/pipe.h"

namespace onnxlocal {

namespace {

constexpr std::size_t kPieceBytes = std::size_t{64} << 10;

Error system_error(std::string_view what, int number) {
  return internal_error(fmt::format("{}: {}", what, std::strerror(number)));
}

/// A child that is running; killed and awaited where nobody did before.
class Child {
 public:
  explicit Child(pid_t id) : id_(id) {}
  ~Child() {
    if (id_ <= 0) return;
    ::kill(id_, SIGKILL);
    static_cast<void>(wait(0));
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// The exit code, as a shell says it; nothing where the child goes on past the deadline.
  std::optional<int> wait_until(Deadline deadline) {
    constexpr auto kPause = std::chrono::milliseconds(2);
    while (true) {
      const std::optional<int> code = wait(WNOHANG);
      if (code || deadline.has_passed()) return code;
      std::this_thread::sleep_for(kPause);
    }
  }

 private:
  std::optional<int> wait(int options) {
    int status = 0;
    pid_t ended = 0;
    do {
      ended = ::waitpid(id_, &status, options);
    } while (ended < 0 && errno == EINTR);
    if (ended == 0) return std::nullopt;
    id_ = 0;
    return exit_code_of(status);
  }

  pid_t id_;
};

class SpawnActions {
 public:
  SpawnActions() {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
  }
  ~SpawnActions() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;

  /// The pid. Signals that this process ignores or holds back are as usual in the child.
  Result<pid_t> spawn(const ChildCommand& command, int input, int output) {
    ::posix_spawn_file_actions_adddup2(&actions_, input, STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions_, output, STDOUT_FILENO);
    ::posix_spawn_file_actions_addopen(&actions_, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
    sigset_t signals;
    ::sigemptyset(&signals);
    ::posix_spawnattr_setsigmask(&attributes_, &signals);
    ::sigaddset(&signals, SIGPIPE);
    ::posix_spawnattr_setsigdefault(&attributes_, &signals);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

    const std::string program = command.program.string();
    std::vector<std::string> words = {program};
    words.insert(words.end(), command.arguments.begin(), command.arguments.end());
    const std::vector<char*> argv = exec_list(words);
    std::array<char*, 1> environment = {nullptr};
    pid_t id = 0;
    const int failed = ::posix_spawn(&id, program.c_str(), &actions_, &attributes_, argv.data(),
                                     environment.data());
    if (failed != 0) {
      return std::unexpected(
          unavailable(fmt::format("{} cannot be started: {}", program, std::strerror(failed))));
    }
    return id;
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

int poll_timeout_ms(Deadline deadline) {
  constexpr auto kLongest = std::chrono::milliseconds(1000);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(
      std::min<Deadline::Clock::duration>(deadline.left(), kLongest));
  return static_cast<int>(left.count());
}

/// Writes what is left of the input; closes it at its end, or where nobody reads it.
void feed(Descriptor& input, std::string_view& left) {
  const ssize_t written = ::write(input.number(), left.data(), std::min(left.size(), kPieceBytes));
  if (written >= 0) left.remove_prefix(static_cast<std::size_t>(written));
  if (written < 0 && errno != EAGAIN && errno != EINTR) left = {};
  if (left.empty()) input.close();
}

/// Feeds and reads until the child closes its output.
Result<std::string> converse(const ChildCommand& command, Descriptor input, Descriptor output,
                             Deadline deadline) {
  ::fcntl(input.number(), F_SETFL, O_NONBLOCK);
  std::string_view left = command.input;
  if (left.empty()) input.close();
  std::string text;
  std::string piece(kPieceBytes, '\0');
  while (true) {
    std::array<pollfd, 2> waits = {pollfd{output.number(), POLLIN, 0},
                                   pollfd{input.number(), POLLOUT, 0}};
    const int ready = ::poll(waits.data(), input.is_open() ? 2 : 1, poll_timeout_ms(deadline));
    if (deadline.has_passed()) return std::unexpected(timed_out("a child process took too long"));
    if (ready < 0 && errno != EINTR) return std::unexpected(system_error("poll", errno));
    if (ready <= 0) continue;
    if (input.is_open() && waits[1].revents != 0) feed(input, left);
    if (waits[0].revents == 0) continue;
    const ssize_t count = ::read(output.number(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::unexpected(system_error("read from a child process", errno));
    if (count == 0) return text;
    if (text.size() + static_cast<std::size_t>(count) > command.output_bytes_max) {
      return std::unexpected(too_large("a child process wrote too much"));
    }
    text.append(piece, 0, static_cast<std::size_t>(count));
  }
}

/// From its start to its end.
Result<ChildOutcome> attend(const ChildCommand& command, pid_t id, Descriptor input,
                            Descriptor output, Deadline deadline) {
  Child child(id);
  TRY(std::string text, converse(command, std::move(input), std::move(output), deadline));
  const std::optional<int> code = child.wait_until(deadline);
  if (!code) return std::unexpected(timed_out("a child process took too long"));
  return ChildOutcome{.exit_code = *code, .output = std::move(text)};
}

/// A sanitizer's shadow memory takes all of the address space.
constexpr bool kMayLimitAddresses =
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    false;
#else
    true;
#endif
#else
    true;
#endif

}  // namespace

int exit_code_of(int status) {
  constexpr int kSignalBase = 128;
  return WIFEXITED(status) ? WEXITSTATUS(status) : kSignalBase + WTERMSIG(status);
}

std::vector<char*> exec_list(std::span<std::string> texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

Result<ChildOutcome> run_child(const ChildCommand& command, Deadline deadline) {
  TRY(Pipe input, make_pipe());
  TRY(Pipe output, make_pipe());
  // A child that does not read its input must not end us with it.
  sigset_t pipe_signal;
  sigset_t before;
  ::sigemptyset(&pipe_signal);
  ::sigaddset(&pipe_signal, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
  auto id = SpawnActions().spawn(command, input.read.number(), output.write.number());
  input.read.close();
  output.write.close();
  Result<ChildOutcome> outcome =
      id ? attend(command, *id, std::move(input.write), std::move(output.read), deadline)
         : std::unexpected(id.error());
  const timespec now{};
  while (::sigtimedwait(&pipe_signal, nullptr, &now) > 0) {
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return outcome;
}

Result<void> limit_this_process(unsigned cpu_s, std::uint64_t address_bytes) {
  const std::array<std::pair<__rlimit_resource, rlim_t>, 4> limits = {{
      {RLIMIT_CPU, cpu_s},
      {RLIMIT_AS, kMayLimitAddresses ? address_bytes : RLIM_INFINITY},
      {RLIMIT_FSIZE, 0},
      {RLIMIT_CORE, 0},
  }};
  for (const auto& [resource, most] : limits) {
    const rlimit limit{.rlim_cur = most, .rlim_max = most};
    if (::setrlimit(resource, &limit) != 0) {
      return std::unexpected(system_error("setrlimit", errno));
    }
  }
  return {};
}

}  // namespace onnxlocal
