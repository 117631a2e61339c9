#include "matrix/packed_layout.h"

#include <cstring>
#include <string_view>

namespace onnxlocal::ep {

namespace {

constexpr std::string_view kMagic = "ONLPACK\n";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 64;
constexpr std::size_t kAlignment = 64;

std::size_t to_alignment(std::size_t offset) {
  return (offset + kAlignment - 1) / kAlignment * kAlignment;
}

class Writer {
 public:
  explicit Writer(std::vector<std::byte>& bytes) : bytes_(bytes) {}
  template <class T>
  void number(T value) {
    const auto* from = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), from, from + sizeof value);
  }
  void raw(std::string_view text) {
    const auto* from = reinterpret_cast<const std::byte*>(text.data());
    bytes_.insert(bytes_.end(), from, from + text.size());
  }
  void text(std::string_view text) {
    number(static_cast<std::uint32_t>(text.size()));
    raw(text);
  }

 private:
  std::vector<std::byte>& bytes_;
};

std::size_t entry_bytes(const PackedEntry& entry) {
  return 4 + entry.name.size() + 4 + entry.origin.size() + 3 * 4 + 4 + 2 * 8;
}

}  // namespace

PackedLayout layout_packed_file(std::span<const PackedEntry> entries) {
  std::size_t table_bytes = 0;
  for (const PackedEntry& entry : entries) table_bytes += entry_bytes(entry);
  PackedLayout layout;
  std::size_t offset = to_alignment(kHeaderBytes + table_bytes);
  for (const PackedEntry& entry : entries) {
    layout.offsets.push_back(offset);
    layout.sizes.push_back(entry.format.packed_bytes());
    offset = to_alignment(offset + layout.sizes.back());
  }
  layout.file_bytes = offset;
  Writer writer(layout.head);
  writer.raw(kMagic);
  writer.number(kVersion);
  writer.number(static_cast<std::uint32_t>(entries.size()));
  writer.number(std::uint64_t{table_bytes});
  writer.number(std::uint64_t{layout.file_bytes});
  layout.head.resize(kHeaderBytes);
  std::memcpy(layout.head.data() + kSealOffset + offsetof(PackedSeal, state), &kSealed, 8);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const PackedEntry& entry = entries[i];
    writer.text(entry.name);
    writer.text(entry.origin);
    writer.number(entry.format.rows);
    writer.number(entry.format.columns);
    writer.number(entry.format.block);
    writer.number(entry.format.bits);
    writer.number(static_cast<std::uint8_t>(entry.format.zeros));
    writer.number(static_cast<std::uint8_t>(entry.format.has_half_scales ? 1 : 0));
    writer.number(std::uint8_t{0});
    writer.number(std::uint64_t{layout.offsets[i]});
    writer.number(std::uint64_t{layout.sizes[i]});
  }
  return layout;
}

}  // namespace onnxlocal::ep
