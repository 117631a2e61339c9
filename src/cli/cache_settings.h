#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "cli/program.h"
#include "engine/engine.h"

namespace onnxlocal {

/// Where `serve` keeps prefixes on disk, and `cache` looks for them.
std::filesystem::path prefix_folder(const CommandContext& context);

/// What the settings say of the disk; its folder is empty where prefixes are not kept there.
DiskCacheOptions disk_cache_options(const CommandContext& context);

}  // namespace onnxlocal
