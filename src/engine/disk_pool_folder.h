#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/disk_pool.h"

/// How pools lie in the cache folder. For `disk_pool` alone.
namespace onnxlocal {

inline constexpr std::string_view kSegmentSuffix = ".seg";

/// Notes in a pool's folder what it is, for people. Errors: disk_full, internal.
Result<void> write_pool_note(const std::filesystem::path& folder, const DiskPoolKey& key);

/// Numbers of the segments in a pool's folder, in order.
std::vector<std::uint32_t> segment_numbers(const std::filesystem::path& folder);

/// Bytes of all segments in the cache folder.
std::uint64_t pools_bytes(const std::filesystem::path& folder);

/// Removes the pool that was not written for longest, if that was before `oldest_use` and nobody
/// has it open. False where there is none.
bool remove_oldest_pool(const std::filesystem::path& folder, const std::filesystem::path& except,
                        std::uint64_t oldest_use);

}  // namespace onnxlocal
