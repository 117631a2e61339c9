#include "cli/interrupt.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "base/check.h"

namespace onnxlocal {

namespace {

constexpr int kInterruptedExit = 130;

int block_and_open() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  CHECK(::pthread_sigmask(SIG_BLOCK, &signals, nullptr) == 0);
  const int descriptor = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  CHECK(descriptor >= 0);
  return descriptor;
}

}  // namespace

WakeUp::WakeUp() : descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  CHECK(descriptor_ >= 0);
}

WakeUp::~WakeUp() { ::close(descriptor_); }

void WakeUp::call() {
  const std::uint64_t one = 1;
  // It fails only when it was called 2^64 times and nobody looked.
  static_cast<void>(::write(descriptor_, &one, sizeof one) == sizeof one);
}

bool WakeUp::take() {
  std::uint64_t count = 0;
  return ::read(descriptor_, &count, sizeof count) == sizeof count;
}

Interrupts::Interrupts() : signals_(block_and_open()) {
  thread_ = std::jthread([this](const std::stop_token& ended) { watch(ended); });
}

Interrupts::~Interrupts() {
  thread_.request_stop();
  end_.call();
  thread_.join();
  ::close(signals_);
}

void Interrupts::watch(const std::stop_token& ended) {
  std::array<pollfd, 2> sources = {pollfd{signals_, POLLIN, 0},
                                   pollfd{end_.descriptor(), POLLIN, 0}};
  while (!ended.stop_requested()) {
    if (::poll(sources.data(), sources.size(), -1) < 0) continue;
    signalfd_siginfo signal{};
    while (::read(signals_, &signal, sizeof signal) == sizeof signal) {
      take(static_cast<int>(signal.ssi_signo));
    }
  }
}

void Interrupts::take(int signal) {
  const std::scoped_lock lock(mutex_);
  if (handle_) {
    if (signal == SIGTERM) stop_.request_stop();
    handle_();
    return;
  }
  if (!stop_.request_stop()) std::_Exit(kInterruptedExit);
}

Interrupts::Handler::Handler(Interrupts& interrupts, std::function<void()> handle)
    : interrupts_(interrupts) {
  const std::scoped_lock lock(interrupts_.mutex_);
  earlier_ = std::exchange(interrupts_.handle_, std::move(handle));
}

Interrupts::Handler::~Handler() {
  const std::scoped_lock lock(interrupts_.mutex_);
  interrupts_.handle_ = std::move(earlier_);
}

}  // namespace onnxlocal
