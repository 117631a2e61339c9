#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace onnxlocal {

/// The environment variable's value; empty where it is unset or set to nothing.
std::optional<std::string> environment_variable(const char* name);

/// Physical cores that this process may use: affinity mask and cgroup limits (v1 and v2) count,
/// hyper-threads of one core do not. At least 1.
unsigned usable_physical_cores();

/// Memory this process may use: the machine's, or the cgroup's limit where that is less.
std::uint64_t usable_memory_bytes();

/// Resident memory of this process (VmRSS), 0 where unknown.
std::uint64_t resident_memory_bytes();

}  // namespace onnxlocal
