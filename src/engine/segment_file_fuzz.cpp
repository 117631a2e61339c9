#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "engine/disk_index.h"
#include "engine/segment_file.h"
#include "memory_files.h"

namespace onnxlocal {
namespace {

using Entries = std::vector<std::pair<DiskPlace, SegmentEntry>>;

/// Whatever entries say, what is taken of them fits together.
void check_index(const Entries& entries, std::uint32_t block_tokens) {
  constexpr std::size_t kPinnedMax = 2;
  constexpr std::uint64_t kNow = 1000;
  DiskIndex index(block_tokens, kPinnedMax);
  const std::size_t dropped = index.load(entries, kNow).size();
  CHECK(dropped + index.stored_blocks() == entries.size());
  CHECK(index.check_invariants().has_value());
  for (const auto& [place, entry] : entries) {
    const bool is_there = index.get(entry.id) != nullptr;
    CHECK(index.remove(entry.id).empty() != is_there);
  }
  CHECK(index.stored_blocks() == 0 && index.check_invariants().has_value());
}

/// Any bytes as a segment. An entry that is taken is written back as the same bytes.
void check_segment(std::span<const std::byte> bytes) {
  MemoryFiles files;
  auto file = files.open("a", BlockFileMode::kCreate);
  CHECK(file.has_value());
  files.bytes("a").assign(bytes.begin(), bytes.end());
  const auto segment = SegmentFile::open(*std::move(file));
  if (!segment) return;
  const auto entries = segment->read_entries();
  if (!entries) return;
  const SegmentShape& shape = segment->shape();
  CHECK(SegmentFile::is_sound(shape));
  Entries placed;
  for (const auto& [slot, entry] : *entries) {
    CHECK(slot < shape.slots && entry.tokens.size() == shape.block_tokens);
    const auto again = encode_entry(entry, slot);
    CHECK(!std::ranges::search(bytes, again).empty());
    placed.emplace_back(DiskPlace{.segment = 0, .slot = slot}, entry);
  }
  check_index(placed, shape.block_tokens);
}

/// The same bytes as a table of entries whose seals hold, so that their content counts.
void check_entries(std::span<const std::byte> bytes) {
  constexpr std::uint32_t kTokens = 2;
  constexpr std::size_t kSealBytes = 8;
  const std::size_t size = encode_entry({.tokens = std::vector<TokenId>(kTokens)}, 0).size();
  Entries placed;
  for (std::uint32_t slot = 0; bytes.size() >= size - kSealBytes; ++slot) {
    std::vector<std::byte> sealed(kSealBytes);
    sealed.insert(sealed.end(), bytes.begin(),
                  bytes.begin() + static_cast<std::ptrdiff_t>(size - kSealBytes));
    const std::uint64_t seal = xxh64(std::span(sealed).subspan(kSealBytes), slot);
    for (std::size_t i = 0; i < kSealBytes; ++i) {
      sealed[i] = static_cast<std::byte>(seal >> (8 * i) & 0xFF);
    }
    if (auto entry = decode_entry(sealed, slot)) {
      CHECK(encode_entry(*entry, slot) == sealed);
      placed.emplace_back(DiskPlace{.segment = 0, .slot = slot}, *std::move(entry));
    }
    bytes = bytes.subspan(size - kSealBytes);
  }
  check_index(placed, kTokens);
}

}  // namespace
}  // namespace onnxlocal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxlocal;
  const auto bytes = std::as_bytes(std::span(data, size));
  check_segment(bytes);
  check_entries(bytes);
  return 0;
}
