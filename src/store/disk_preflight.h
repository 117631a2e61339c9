#pragma once

#include <cstdint>
#include <filesystem>

#include "base/result.h"
#include "import/gguf_reader.h"
#include "store/store_paths.h"

namespace onnxlocal {

/// Refuses before the first byte what would not fit: `needed_bytes` where `folder` lies (or will
/// lie). Errors: disk_full, with both figures.
Result<void> check_disk_space(const std::filesystem::path& folder, std::uint64_t needed_bytes);

/// What importing a GGUF file of this size writes: the same weights, and some for the rest.
std::uint64_t import_bytes_estimate(std::uint64_t gguf_bytes);

/// What the model's first load writes into the cache folder: Q4_1 weights in 8 bits, and a copy of
/// the others, for ONNX Runtime's CPU provider (docs/formats/derived-model.md). 0 without Q4_1.
std::uint64_t sidecar_bytes_estimate(const GgufFile& file);

/// What the first load on our own provider writes there instead: the quantized weights once more,
/// in the form of its kernels (docs/formats/packed-weights.md). 0 without quantized weights.
std::uint64_t packed_bytes_estimate(const GgufFile& file);

/// Room for an import and for the model's first load, so that what was imported can also run.
/// A load writes what its execution provider needs, one of the two above: the larger counts.
/// Errors: disk_full, with both figures.
Result<void> check_import_space(const StorePaths& paths, const std::filesystem::path& gguf_file);

}  // namespace onnxlocal
