#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "matrix/matrix_format.h"

namespace onnxlocal::ep {

/// One matrix of a packed file: its name in the graph, where its values came from, its form.
struct PackedEntry {
  std::string name;
  std::string origin;  ///< File, offset, size and modification time of the source, as text.
  MatrixFormat format;
};

/// Packed matrices in one read-only memory-mapped file, shared by all processes that map it, so
/// that a model's second start packs nothing. Format: docs/formats/packed-weights.md.
class PackedFile {
 public:
  virtual ~PackedFile() = default;
  /// The matrix of entry `index`; 64-byte aligned.
  virtual std::span<const std::byte> matrix(std::size_t index) const = 0;
};

/// Opens `path` where it is whole and holds exactly `entries`, in their order; else nothing, with
/// why in `problem` (empty where there is no file). A damaged header or table is never trusted.
std::unique_ptr<PackedFile> open_packed_file(const std::filesystem::path& path,
                                             std::span<const PackedEntry> entries,
                                             std::string& problem);

/// Writes the file: `pack(index, memory)` fills each matrix straight into the file's pages. Whole
/// or not at all: a temporary name beside it, then a rename; the disk's room is taken first, so
/// that a full disk is an error and never a signal. Nothing, with why in `problem`, where it
/// cannot.
using PackInto = void (*)(void* context, std::size_t index, std::span<std::byte> memory);
std::unique_ptr<PackedFile> write_packed_file(const std::filesystem::path& path,
                                              std::span<const PackedEntry> entries, PackInto pack,
                                              void* context, std::string& problem);

/// The same in memory of this process alone, where no file can be kept. Nothing where the system
/// gives no memory.
std::unique_ptr<PackedFile> pack_in_memory(std::span<const PackedEntry> entries, PackInto pack,
                                           void* context);

}  // namespace onnxlocal::ep
