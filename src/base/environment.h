#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

namespace onnxlocal {

/// The environment variable's value; empty where it is unset or set to nothing.
std::optional<std::string> environment_variable(const char* name);

/// Physical cores that this process may use: affinity mask and cgroup limits (v1 and v2) count,
/// hyper-threads of one core do not. At least 1.
unsigned usable_physical_cores();

/// The same for given processors of a system whose /proc and /sys lie under `root`.
unsigned physical_cores(std::span<const unsigned> cpus, const std::filesystem::path& root);

/// Memory this process may use: the machine's, or the cgroup's limit where that is less.
std::uint64_t usable_memory_bytes();

/// The same for a system whose /proc and /sys lie under `root`.
std::uint64_t memory_limit_bytes(const std::filesystem::path& root);

/// Resident memory of this process (VmRSS), 0 where unknown.
std::uint64_t resident_memory_bytes();

}  // namespace onnxlocal
