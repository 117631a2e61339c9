// Packed matrices in memory alone, behind the interface of matrix/packed_file.h.
#include <utility>

#include "matrix/packed_file.h"
#include "program/scratch.h"

namespace onnxlocal::ep {

namespace {

class PackedMemory final : public PackedFile {
 public:
  PackedMemory(std::span<const PackedEntry> entries, PackInto pack, void* context) {
    std::size_t bytes = 0;
    for (const auto& entry : entries) bytes += entry.format.packed_bytes();
    std::byte* next = memory_.ensure(bytes);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      matrices_.emplace_back(next, entries[i].format.packed_bytes());
      pack(context, i, matrices_.back());
      next += matrices_.back().size();
    }
  }
  std::span<const std::byte> matrix(std::size_t index) const override { return matrices_[index]; }

 private:
  ScratchMemory memory_;
  std::vector<std::span<std::byte>> matrices_;
};

}  // namespace

std::unique_ptr<PackedFile> open_packed_file(const std::filesystem::path& /*path*/,
                                             std::span<const PackedEntry> /*entries*/,
                                             std::string& /*problem*/) {
  return nullptr;
}

std::unique_ptr<PackedFile> write_packed_file(const std::filesystem::path& /*path*/,
                                              std::span<const PackedEntry> entries, PackInto pack,
                                              void* context, std::string& /*problem*/) {
  return pack_in_memory(entries, pack, context);
}

std::unique_ptr<PackedFile> pack_in_memory(std::span<const PackedEntry> entries, PackInto pack,
                                           void* context) {
  return std::make_unique<PackedMemory>(entries, pack, context);
}

}  // namespace onnxlocal::ep
