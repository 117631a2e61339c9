#pragma once

#include <cstdint>
#include <filesystem>

#include "base/result.h"

namespace onnxlocal {

/// Refuses before the first byte what would not fit: `needed_bytes` where `folder` lies (or will
/// lie). Errors: disk_full, with both figures.
Result<void> check_disk_space(const std::filesystem::path& folder, std::uint64_t needed_bytes);

/// What importing a GGUF file of this size writes: the same weights, and some for the rest.
std::uint64_t import_bytes_estimate(std::uint64_t gguf_bytes);

}  // namespace onnxlocal
