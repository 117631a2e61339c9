#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/progress.h"
#include "base/result.h"

namespace onnx {
class ModelProto;
class TensorProto;
}  // namespace onnx

namespace onnxlocal {

/// The external data file that belongs to `model.onnx`. Memory-mapped by ONNX Runtime, so each
/// tensor starts on a page.
inline constexpr const char* kExternalDataName = "model.onnx.data";
inline constexpr std::uint64_t kExternalDataAlignment = 4096;

/// Takes the next bytes of a tensor.
using ByteSink = std::function<Result<void>(std::span<const std::byte>)>;
/// Gives a tensor's bytes to the sink in pieces of some hundred kilobytes at most: exactly as many
/// as were planned.
using ByteSource = std::function<Result<void>(const ByteSink&)>;

/// What was written.
struct WrittenFile {
  std::uint64_t size_bytes = 0;
  std::string sha256;
};

/// Plans an external data file, then writes it in one pass: offsets and the whole size are known
/// before the first byte, and no tensor is ever in memory as a whole.
class ExternalDataPlan {
 public:
  /// Reserves `size_bytes`; returns their offset. The source is called later, by `write`.
  std::uint64_t add(std::uint64_t size_bytes, ByteSource source);
  std::uint64_t size_bytes() const { return end_; }

  /// Errors: disk_full, cancelled, internal, and those of the sources.
  Result<WrittenFile> write(const std::filesystem::path& file, std::stop_token stop = {},
                            const ProgressSink& progress = {}) const;

 private:
  struct Block {
    std::uint64_t offset;
    std::uint64_t size_bytes;
    ByteSource source;
  };
  std::vector<Block> blocks_;
  std::uint64_t end_ = 0;
};

/// Points `tensor` at [offset, offset + size_bytes) of the external data file.
void set_external(onnx::TensorProto& tensor, std::uint64_t offset, std::uint64_t size_bytes);

}  // namespace onnxlocal
