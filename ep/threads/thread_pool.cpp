#include "threads/thread_pool.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <utility>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace onnxlocal::ep {

namespace {

/// About 20 us: longer than the gaps inside a step, shorter than anybody notices.
constexpr unsigned kSpins = 4000;
/// Of the gate: workers may enter the run. The bits below count those inside.
constexpr std::uint32_t kOpen = 0x8000'0000U;

void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

#if defined(__linux__)
std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// "150000 100000": microseconds of processor time in each period; "max" where there is no limit.
unsigned quota_cores(unsigned cores) {
  const std::string line = read_line("/sys/fs/cgroup/cpu.max");
  char* end = nullptr;
  const double quota = std::strtod(line.c_str(), &end);
  if (end == line.c_str() || quota <= 0) return cores;
  const double period = std::strtod(end, nullptr);
  if (period <= 0) return cores;
  return std::clamp(static_cast<unsigned>(quota / period), 1U, cores);
}
#endif

}  // namespace

unsigned usable_cores() {
#if defined(__linux__)
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    std::set<std::string> cores;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &allowed)) continue;
      const std::string siblings = read_line("/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                                             "/topology/thread_siblings_list");
      cores.insert(siblings.empty() ? std::to_string(cpu) : siblings);
    }
    if (!cores.empty()) return quota_cores(static_cast<unsigned>(cores.size()));
  }
#endif
  return std::max(std::thread::hardware_concurrency(), 1U);
}

ThreadPool::ThreadPool(unsigned threads) {
  const unsigned count = threads == 0 ? usable_cores() : threads;
  workers_.reserve(count - 1);
  for (unsigned i = 1; i < count; ++i) workers_.emplace_back([this] { work(); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  generation_.fetch_add(1);
  generation_.notify_all();
}

void ThreadPool::take_tasks(const TaskRef& body, std::size_t tasks) {
  for (std::size_t task = next_.fetch_add(1, std::memory_order_relaxed); task < tasks;
       task = next_.fetch_add(1, std::memory_order_relaxed)) {
    body(task);
  }
}

void ThreadPool::run(std::size_t tasks, TaskRef body) {
  const std::scoped_lock turn(turn_);
  if (workers_.empty() || tasks <= 1) {
    for (std::size_t task = 0; task < tasks; ++task) body(task);
    return;
  }
  body_ = &body;
  tasks_ = tasks;
  next_.store(0, std::memory_order_relaxed);
  gate_.store(kOpen, std::memory_order_release);
  // Sequentially consistent, as the sleeper's count and check are: one of the two sees the other.
  generation_.fetch_add(1);
  if (sleeping_.load() != 0) generation_.notify_all();
  take_tasks(body, tasks);
  // No task is left to begin. Those inside are in their last one, unless the system has put them
  // aside: then they get this thread's time.
  gate_.fetch_and(~kOpen, std::memory_order_acq_rel);
  for (unsigned i = 0; gate_.load(std::memory_order_acquire) != 0; ++i) {
    if (i < kSpins) {
      pause_briefly();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::enter_run() {
  std::uint32_t gate = gate_.load(std::memory_order_relaxed);
  while ((gate & kOpen) != 0) {
    if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acquire,
                                    std::memory_order_relaxed)) {
      take_tasks(*body_, tasks_);
      gate_.fetch_sub(1, std::memory_order_release);
      return;
    }
  }
}

bool ThreadPool::spin_for_run(std::uint32_t seen) const {
  for (unsigned i = 0; i < kSpins; ++i) {
    if (generation_.load(std::memory_order_acquire) != seen) return true;
    pause_briefly();
  }
  return false;
}

void ThreadPool::work() {
  std::uint32_t seen = 0;
  while (true) {
    if (!spin_for_run(seen)) {
      sleeping_.fetch_add(1);
      generation_.wait(seen);
      sleeping_.fetch_sub(1);
    }
    const std::uint32_t generation = generation_.load(std::memory_order_acquire);
    if (generation == seen) continue;
    if (stop_.load()) return;
    seen = generation;
    enter_run();
  }
}

}  // namespace onnxlocal::ep
