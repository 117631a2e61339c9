#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "matrix/packed_file.h"

namespace onnxlocal::ep {

/// A packed file's bytes in front of its matrices, and where those lie. What a file must hold
/// follows from its entries alone, so that reading one is comparing bytes: nothing in it is parsed.
struct PackedLayout {
  std::vector<std::byte> head;  ///< Header and table; its seal is kSealed.
  std::vector<std::size_t> offsets;
  std::vector<std::size_t> sizes;
  std::size_t file_bytes = 0;
};
PackedLayout layout_packed_file(std::span<const PackedEntry> entries);

/// The one part of a header that does not follow from the entries: whether the bytes are known to
/// be on the disk, or else which run of the operating system wrote them (its boot id). A file that
/// is not sealed is good for as long as that run lasts: a power failure may have lost any of it.
struct PackedSeal {
  std::uint8_t boot_id[16];
  std::uint64_t state;
};
inline constexpr std::size_t kSealOffset = 32;
inline constexpr std::uint64_t kSealed = 0x64656c6165732021U;  // "! sealed"

}  // namespace onnxlocal::ep
