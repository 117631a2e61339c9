#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace onnxlocal {

/// What `doctor` says of the processor.
struct ProcessorInfo {
  std::string name;
  std::vector<std::string> features;  ///< Of those that ONNX Runtime's kernels have a use for.
};
/// From the text of /proc/cpuinfo (x86-64 or arm64).
ProcessorInfo parse_processor_info(std::string_view cpuinfo);
ProcessorInfo processor_info();

/// Processors that this machine shows, hyper-threads included.
unsigned logical_processors();
/// Memory that this machine has, whatever the process may use of it.
std::uint64_t machine_memory_bytes();

/// Whether this process may make files where `folder` lies or will lie.
bool is_writable(const std::filesystem::path& folder);

enum class PortState { kFree, kInUse };
/// Tries to bind. Errors: unavailable (the host or the port may not be used: why).
Result<PortState> probe_port(const std::string& host, std::uint16_t port);

}  // namespace onnxlocal
