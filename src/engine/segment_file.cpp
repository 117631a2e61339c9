#include "engine/segment_file.h"

#include <algorithm>
#include <concepts>
#include <string_view>

#include "base/check.h"
#include "base/hash.h"

namespace onnxlocal {
namespace {

constexpr std::string_view kMagic = "ONLKVSG\n";
constexpr std::uint32_t kVersion = 2;
constexpr std::uint64_t kHeaderBytes = 64;
constexpr std::uint64_t kEntryHeadBytes = 64;
/// Blocks begin at a page, as file systems like it.
constexpr std::uint64_t kAlignmentBytes = 4096;

std::uint64_t entry_bytes(const SegmentShape& shape) {
  return kEntryHeadBytes + std::uint64_t{shape.block_tokens} * sizeof(TokenId);
}

std::uint64_t entry_offset(const SegmentShape& shape, std::uint32_t slot) {
  return kHeaderBytes + slot * entry_bytes(shape);
}

std::uint64_t block_offset(const SegmentShape& shape, std::uint32_t slot) {
  const std::uint64_t table_end = entry_offset(shape, shape.slots);
  const std::uint64_t begin = (table_end + kAlignmentBytes - 1) / kAlignmentBytes * kAlignmentBytes;
  return begin + slot * shape.block_bytes;
}

/// Little endian, whatever the machine.
class Writer {
 public:
  template <std::unsigned_integral T>
  void put(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      bytes_.push_back(static_cast<std::byte>(value >> (8 * i) & 0xFF));
    }
  }
  void put(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

/// REQUIRES: there are as many bytes as are taken.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  template <std::unsigned_integral T>
  T take() {
    T value = 0;
    const auto part = take_bytes(sizeof(T));
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      value = static_cast<T>(value | static_cast<T>(std::to_integer<T>(part[i]) << (8 * i)));
    }
    return value;
  }
  DiskKey take_key() {
    DiskKey key{};
    std::ranges::copy(take_bytes(key.size()), key.begin());
    return key;
  }
  std::span<const std::byte> take_bytes(std::size_t count) {
    const auto part = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return part;
  }

 private:
  std::span<const std::byte> bytes_;
};

std::vector<std::byte> encode_header(const SegmentShape& shape) {
  Writer out;
  out.put(std::as_bytes(std::span(kMagic)));
  out.put(kVersion);
  out.put(shape.block_tokens);
  out.put(shape.block_bytes);
  out.put(shape.slots);
  out.put(std::uint32_t{0});
  out.put(shape.pool);
  out.put(std::uint64_t{0});
  std::vector<std::byte> bytes = out.take();
  Writer seal;
  seal.put(xxh64(bytes));
  const std::vector<std::byte> sealed = seal.take();
  bytes.insert(bytes.end(), sealed.begin(), sealed.end());
  return bytes;
}

}  // namespace

bool SegmentFile::is_sound(const SegmentShape& shape) {
  return shape.block_tokens >= 1 && shape.block_tokens <= kBlockTokensMax &&
         shape.block_bytes >= 1 && shape.block_bytes <= kBlockBytesMax && shape.slots >= 1 &&
         shape.slots <= kSlotsMax;
}

std::uint64_t SegmentFile::file_bytes(const SegmentShape& shape) {
  return block_offset(shape, shape.slots);
}

Result<SegmentFile> SegmentFile::create(std::unique_ptr<BlockFile> file,
                                        const SegmentShape& shape) {
  CHECK(is_sound(shape));
  // New room reads as zeros: an empty table.
  TRY_VOID(file->reserve(file_bytes(shape)));
  TRY_VOID(file->write_at(0, encode_header(shape)));
  return SegmentFile(std::move(file), shape);
}

Result<SegmentFile> SegmentFile::open(std::unique_ptr<BlockFile> file) {
  std::vector<std::byte> header(kHeaderBytes);
  TRY_VOID(file->read_at(0, header));
  Reader in(header);
  const bool has_magic =
      std::ranges::equal(in.take_bytes(kMagic.size()), std::as_bytes(std::span(kMagic)));
  if (!has_magic || in.take<std::uint32_t>() != kVersion) {
    return std::unexpected(model_corrupt("no segment of a prefix cache, or of another version"));
  }
  SegmentShape shape;
  shape.block_tokens = in.take<std::uint32_t>();
  shape.block_bytes = in.take<std::uint64_t>();
  shape.slots = in.take<std::uint32_t>();
  in.take<std::uint32_t>();
  shape.pool = in.take_key();
  if (!is_sound(shape) || encode_header(shape) != header) {
    return std::unexpected(model_corrupt("the header of a prefix cache's segment is damaged"));
  }
  return SegmentFile(std::move(file), shape);
}

Result<std::vector<std::pair<std::uint32_t, SegmentEntry>>> SegmentFile::read_entries() const {
  const std::uint64_t table_bytes = shape_.slots * entry_bytes(shape_);
  // Before any memory is taken for it.
  TRY(const std::uint64_t size, file_->size_bytes());
  if (size < kHeaderBytes + table_bytes) {
    return std::unexpected(model_corrupt("a segment of the prefix cache ends in its table"));
  }
  std::vector<std::byte> table(table_bytes);
  TRY_VOID(file_->read_at(kHeaderBytes, table));
  std::vector<std::pair<std::uint32_t, SegmentEntry>> entries;
  for (std::uint32_t slot = 0; slot < shape_.slots; ++slot) {
    const auto bytes = std::span(table).subspan(slot * entry_bytes(shape_), entry_bytes(shape_));
    // A block behind the file's end is not there.
    if (block_offset(shape_, slot) + shape_.block_bytes > size) break;
    if (auto entry = decode_entry(bytes, slot)) entries.emplace_back(slot, *std::move(entry));
  }
  return entries;
}

Result<void> SegmentFile::read_block(std::uint32_t slot, std::span<std::byte> bytes) const {
  CHECK(slot < shape_.slots && bytes.size() == shape_.block_bytes);
  return file_->read_at(block_offset(shape_, slot), bytes);
}

Result<void> SegmentFile::write_block(std::uint32_t slot, const SegmentEntry& entry,
                                      std::span<const std::byte> bytes) {
  CHECK(slot < shape_.slots && bytes.size() == shape_.block_bytes);
  TRY_VOID(clear_entry(slot));
  TRY_VOID(file_->write_at(block_offset(shape_, slot), bytes));
  return write_entry(slot, entry);
}

Result<void> SegmentFile::write_entry(std::uint32_t slot, const SegmentEntry& entry) {
  CHECK(slot < shape_.slots && entry.tokens.size() == shape_.block_tokens);
  return file_->write_at(entry_offset(shape_, slot), encode_entry(entry, slot));
}

Result<void> SegmentFile::clear_entry(std::uint32_t slot) {
  const std::vector<std::byte> zeros(entry_bytes(shape_));
  return file_->write_at(entry_offset(shape_, slot), zeros);
}

std::vector<std::byte> encode_entry(const SegmentEntry& entry, std::uint32_t seed) {
  Writer body;
  body.put(entry.id);
  body.put(entry.parent);
  body.put(entry.scope);
  body.put(entry.last_use);
  body.put(entry.pinned_until);
  body.put(entry.checksum);
  for (const TokenId token : entry.tokens) body.put(static_cast<std::uint32_t>(token));
  const std::vector<std::byte> bytes = body.take();
  Writer out;
  out.put(xxh64(bytes, seed));
  out.put(bytes);
  return out.take();
}

std::optional<SegmentEntry> decode_entry(std::span<const std::byte> bytes, std::uint32_t seed) {
  if (bytes.size() < kEntryHeadBytes || bytes.size() % sizeof(TokenId) != 0) return std::nullopt;
  Reader in(bytes);
  const auto checksum = in.take<std::uint64_t>();
  if (checksum != xxh64(bytes.subspan(sizeof(checksum)), seed)) return std::nullopt;
  SegmentEntry entry;
  entry.id = in.take<std::uint64_t>();
  entry.parent = in.take<std::uint64_t>();
  entry.scope = in.take_key();
  entry.last_use = in.take<std::uint64_t>();
  entry.pinned_until = in.take<std::uint64_t>();
  entry.checksum = in.take<std::uint64_t>();
  const std::size_t tokens = (bytes.size() - kEntryHeadBytes) / sizeof(TokenId);
  for (std::size_t i = 0; i < tokens; ++i) {
    entry.tokens.push_back(static_cast<TokenId>(in.take<std::uint32_t>()));
  }
  if (entry.id == 0) return std::nullopt;
  return entry;
}

}  // namespace onnxlocal
