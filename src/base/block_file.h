#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>

#include "base/result.h"

namespace onnxlocal {

/// A file that is read and written in pieces at any place. One thread at a time. Others stand in
/// for it in tests, with disks that are full or broken.
class BlockFile {
 public:
  virtual ~BlockFile() = default;

  /// Fills `bytes`. Errors: internal (it cannot be read, or ends before).
  virtual Result<void> read_at(std::uint64_t offset, std::span<std::byte> bytes) const = 0;
  /// Errors: disk_full, internal. Part of `bytes` may then be written.
  virtual Result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  /// Makes it this long and takes the room on the disk. Errors: disk_full, internal.
  virtual Result<void> reserve(std::uint64_t size_bytes) = 0;
  virtual Result<std::uint64_t> size_bytes() const = 0;
};

enum class BlockFileMode {
  kRead,
  kWrite,   ///< Of a file that is there; reads too.
  kCreate,  ///< A file that is not there yet, for its owner alone (0600); reads and writes.
};

/// Errors: not_found, disk_full, internal.
Result<std::unique_ptr<BlockFile>> open_block_file(const std::filesystem::path& path,
                                                   BlockFileMode mode);
using BlockFileOpener = std::function<Result<std::unique_ptr<BlockFile>>(
    const std::filesystem::path& path, BlockFileMode mode)>;

/// Makes `folder` and those above it where they are missing; it is then its owner's alone (0700).
/// Errors: disk_full, internal.
Result<void> make_private_folder(const std::filesystem::path& folder);

}  // namespace onnxlocal
