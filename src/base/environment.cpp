#include "base/environment.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <string_view>
#include <vector>

namespace onnxlocal {

namespace {

namespace fs = std::filesystem;

std::optional<std::string> first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

std::optional<std::uint64_t> to_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  return number;
}

std::optional<std::uint64_t> number_in(const fs::path& path) {
  const auto line = first_line(path);
  return line ? to_number(*line) : std::nullopt;
}

/// The figure in a line "Name:   123 kB" of /proc/meminfo or /proc/self/status, in bytes.
std::optional<std::uint64_t> kilobytes_line(const fs::path& path, std::string_view name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name)) continue;
    const auto digits = line.find_first_of("0123456789");
    if (digits == std::string::npos) return std::nullopt;
    const auto kilobytes = to_number(std::string_view(line).substr(digits));
    return kilobytes ? std::optional(*kilobytes * 1024) : std::nullopt;
  }
  return std::nullopt;
}

/// The process's cgroup in a v1 controller's hierarchy, or in v2's (`controller` empty).
std::optional<fs::path> cgroup_of(const fs::path& root, std::string_view controller) {
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::istringstream names(line.substr(first + 1, second - first - 1));
    bool matches = controller.empty() && second == first + 1;
    for (std::string name; std::getline(names, name, ',');) {
      matches = matches || (!controller.empty() && name == controller);
    }
    if (matches) return fs::path(line.substr(second + 1)).relative_path();
  }
  return std::nullopt;
}

/// The process's cgroup folder and all above it: a limit on any of them binds. In a container the
/// path may name folders that are not mounted there; its mount's root then has the limits.
std::vector<fs::path> cgroup_folders(const fs::path& root, std::string_view controller) {
  const auto cgroup = cgroup_of(root, controller);
  if (!cgroup) return {};
  const fs::path mount = root / "sys/fs/cgroup" / controller;
  std::vector<fs::path> folders;
  for (fs::path below = *cgroup; !below.empty(); below = below.parent_path()) {
    folders.push_back(mount / below);
  }
  folders.push_back(mount);
  return folders;
}

std::uint64_t cgroup_cpus(const fs::path& root) {
  std::uint64_t cpus = std::numeric_limits<std::uint64_t>::max();
  const auto limit = [&cpus](std::optional<std::uint64_t> quota,
                             std::optional<std::uint64_t> period) {
    if (!quota || !period || *quota == 0 || *period == 0) return;
    cpus = std::min(cpus, (*quota + *period - 1) / *period);
  };
  for (const auto& folder : cgroup_folders(root, "")) {
    std::istringstream line(first_line(folder / "cpu.max").value_or(""));
    std::string quota;
    std::string period;
    if (line >> quota >> period) limit(to_number(quota), to_number(period));
  }
  for (const auto& folder : cgroup_folders(root, "cpu")) {
    // No limit is written as -1, which is no number here.
    limit(number_in(folder / "cpu.cfs_quota_us"), number_in(folder / "cpu.cfs_period_us"));
  }
  return cpus;
}

std::vector<unsigned> allowed_cpus() {
  // 8192 is what kernels are built for at most.
  constexpr std::size_t kCpusMax = 8192;
  std::vector<unsigned> cpus;
  cpu_set_t* set = CPU_ALLOC(kCpusMax);
  if (set == nullptr) return cpus;
  const std::size_t bytes = CPU_ALLOC_SIZE(kCpusMax);
  if (sched_getaffinity(0, bytes, set) == 0) {
    for (unsigned cpu = 0; cpu < kCpusMax; ++cpu) {
      if (CPU_ISSET_S(cpu, bytes, set)) cpus.push_back(cpu);
    }
  }
  CPU_FREE(set);
  return cpus;
}

}  // namespace

std::optional<std::string> environment_variable(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  return std::string(text);
}

unsigned physical_cores(std::span<const unsigned> cpus, const fs::path& root) {
  // Threads of one core name the same siblings. A system that says nothing has one thread a core.
  std::set<std::string> cores;
  for (const unsigned cpu : cpus) {
    const std::string name = "cpu" + std::to_string(cpu);
    const fs::path topology = root / "sys/devices/system/cpu" / name / "topology";
    auto siblings = first_line(topology / "core_cpus_list");
    if (!siblings) siblings = first_line(topology / "thread_siblings_list");
    cores.insert(siblings.value_or(name));
  }
  const std::uint64_t count = std::min<std::uint64_t>(cores.size(), cgroup_cpus(root));
  return static_cast<unsigned>(std::max<std::uint64_t>(count, 1));
}

unsigned usable_physical_cores() { return physical_cores(allowed_cpus(), "/"); }

std::uint64_t memory_limit_bytes(const fs::path& root) {
  std::uint64_t bytes = kilobytes_line(root / "proc/meminfo", "MemTotal:")
                            .value_or(std::numeric_limits<std::uint64_t>::max());
  for (const auto& folder : cgroup_folders(root, "")) {
    bytes = std::min(bytes, number_in(folder / "memory.max").value_or(bytes));
  }
  for (const auto& folder : cgroup_folders(root, "memory")) {
    bytes = std::min(bytes, number_in(folder / "memory.limit_in_bytes").value_or(bytes));
  }
  return bytes;
}

std::uint64_t usable_memory_bytes() { return memory_limit_bytes("/"); }

std::uint64_t resident_memory_bytes() {
  return kilobytes_line("/proc/self/status", "VmRSS:").value_or(0);
}

}  // namespace onnxlocal
