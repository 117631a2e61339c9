#include "import/gguf_reader.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "import/gguf_cursor.h"
#include "import/gguf_limits.h"

namespace onnxlocal {

namespace {

namespace limits = gguf_limits;

constexpr std::uint32_t kMagic = 0x4655'4747U;  // "GGUF"
constexpr std::uint32_t kVersionMin = 2;
constexpr std::uint32_t kVersionMax = 3;
// A key's length, its type and one byte of value.
constexpr std::uint64_t kMetadataBytesMin = 8 + 4 + 1;
// A name's length, the number of dimensions, type and offset.
constexpr std::uint64_t kTensorInfoBytesMin = 8 + 4 + 4 + 8;
constexpr std::uint64_t kSizeMax = std::numeric_limits<std::uint64_t>::max();

}  // namespace

/// Reads one file from front to back. Everything is checked against the bytes that are left before
/// anything is reserved for it.
class GgufParser {
 public:
  explicit GgufParser(std::span<const std::byte> bytes) : cursor_(bytes) { file_.bytes_ = bytes; }

  Result<GgufFile> parse() {
    TRY_VOID(parse_header());
    for (std::uint64_t i = 0; i < metadata_count_; ++i) TRY_VOID(parse_metadata());
    TRY_VOID(read_alignment());
    file_.tensors_.reserve(tensor_count_);
    placements_.reserve(tensor_count_);
    for (std::uint64_t i = 0; i < tensor_count_; ++i) TRY_VOID(parse_tensor_info());
    TRY_VOID(place_tensors());
    return std::move(file_);
  }

 private:
  using ValueType = GgufFile::ValueType;

  /// Where a tensor lies: [offset, offset + size) from the start of the data section.
  struct Placement {
    std::uint64_t info_offset;  ///< In the file, for errors.
    std::uint64_t offset;
    std::uint64_t size_bytes;
  };

  Result<void> parse_header();
  Result<void> parse_metadata();
  Result<ValueType> parse_value_type(std::string_view what);
  Result<void> parse_values(std::string_view key, GgufFile::Entry& entry);
  Result<void> read_alignment();
  Result<void> parse_tensor_info();
  Result<std::vector<std::uint64_t>> parse_shape(std::string_view what);
  Result<std::uint64_t> tensor_size_bytes(std::uint64_t offset, std::string_view what,
                                          const GgufTensor& tensor) const;
  Result<void> place_tensors();
  Result<void> refuse_overlaps() const;

  GgufCursor cursor_;
  GgufFile file_;
  std::uint64_t metadata_count_ = 0;
  std::uint64_t tensor_count_ = 0;
  std::uint64_t alignment_ = limits::kAlignmentDefault;
  std::vector<Placement> placements_;
};

namespace {

/// Bytes of one value; 0 for those of no fixed size.
std::uint64_t value_size_bytes(std::uint32_t type) {
  constexpr std::uint8_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < std::size(kSizes) ? kSizes[type] : 0;
}

/// Text from the file for an error message: printable ASCII, of bounded length.
std::string shown(std::string_view text) {
  constexpr std::size_t kShownMax = 80;
  std::string result;
  for (const char c : text.substr(0, kShownMax)) result += c >= ' ' && c <= '~' ? c : '?';
  return text.size() > kShownMax ? result + "..." : result;
}

}  // namespace

Result<void> GgufParser::parse_header() {
  TRY(const auto magic, cursor_.read<std::uint32_t>("GGUF magic"));
  if (magic != kMagic) {
    return std::unexpected(cursor_.bad(0, "GGUF magic", fmt::format("{:#010x} (\"GGUF\")", kMagic),
                                       fmt::format("{:#010x}", magic)));
  }
  TRY(file_.version_, cursor_.read<std::uint32_t>("GGUF version"));
  if (file_.version_ < kVersionMin || file_.version_ > kVersionMax) {
    // A big-endian file has its version in the upper bytes.
    const bool is_big_endian = (file_.version_ & 0xffffU) == 0;
    return std::unexpected(unsupported(
        fmt::format("GGUF version at byte 4: expected {} to {}, little endian, found {}",
                    kVersionMin, kVersionMax,
                    is_big_endian ? "big endian" : fmt::format("{}", file_.version_)),
        "convert the model again with a current converter"));
  }
  const std::uint64_t tensors_at = cursor_.offset();
  TRY(tensor_count_, cursor_.read_count(limits::kTensorsMax, kTensorInfoBytesMin, "tensor count"));
  TRY(metadata_count_,
      cursor_.read_count(limits::kMetadataKeysMax, kMetadataBytesMin, "metadata key count"));
  // Both kinds together must fit too.
  const std::uint64_t needed =
      tensor_count_ * kTensorInfoBytesMin + metadata_count_ * kMetadataBytesMin;
  if (needed > cursor_.remaining()) {
    return std::unexpected(
        cursor_.truncated(tensors_at, "tensors and metadata", cursor_.offset() + needed));
  }
  return {};
}

Result<GgufFile::ValueType> GgufParser::parse_value_type(std::string_view what) {
  const std::uint64_t start = cursor_.offset();
  TRY(const auto number, cursor_.read<std::uint32_t>(what));
  if (number > static_cast<std::uint32_t>(ValueType::kF64)) {
    return std::unexpected(
        cursor_.bad(start, what, "a value type from 0 to 12", fmt::format("{}", number)));
  }
  return static_cast<ValueType>(number);
}

Result<void> GgufParser::parse_metadata() {
  const std::uint64_t start = cursor_.offset();
  TRY(const auto key, cursor_.read_string(limits::kKeyBytesMax, "metadata key"));
  if (file_.entries_.contains(key)) {
    return std::unexpected(
        cursor_.bad(start, "metadata key", "each key once", fmt::format("'{}' again", shown(key))));
  }
  const std::string what = fmt::format("metadata '{}'", shown(key));
  GgufFile::Entry entry;
  TRY(entry.type, parse_value_type(what));
  if (entry.type == ValueType::kArray) {
    entry.is_array = true;
    const std::uint64_t type_at = cursor_.offset();
    TRY(entry.type, parse_value_type(what));
    if (entry.type == ValueType::kArray) {
      return std::unexpected(
          cursor_.bad(type_at, what, "an array of plain values", "an array of arrays"));
    }
    const std::uint64_t fixed = value_size_bytes(static_cast<std::uint32_t>(entry.type));
    // A string takes its length at least.
    TRY(entry.count,
        cursor_.read_count(kSizeMax, fixed != 0 ? fixed : sizeof(std::uint64_t), what));
  }
  TRY_VOID(parse_values(what, entry));
  file_.entries_.emplace(key, entry);
  return {};
}

Result<void> GgufParser::parse_values(std::string_view what, GgufFile::Entry& entry) {
  const std::uint64_t start = cursor_.offset();
  const std::uint64_t fixed = value_size_bytes(static_cast<std::uint32_t>(entry.type));
  if (fixed != 0) {
    TRY(entry.bytes, cursor_.take(entry.count * fixed, what));
    if (entry.type != ValueType::kBool) return {};
    const auto wrong =
        std::ranges::find_if(entry.bytes, [](std::byte b) { return b > std::byte{1}; });
    if (wrong == entry.bytes.end()) return {};
    return std::unexpected(
        cursor_.bad(start + static_cast<std::uint64_t>(wrong - entry.bytes.begin()), what,
                    "a bool of 0 or 1", fmt::format("{}", std::to_integer<unsigned>(*wrong))));
  }
  for (std::uint64_t i = 0; i < entry.count; ++i) {
    TRY_VOID(cursor_.read_string(limits::kStringBytesMax, what));
  }
  entry.bytes = file_.bytes_.subspan(start, cursor_.offset() - start);
  return {};
}

Result<void> GgufParser::read_alignment() {
  TRY(alignment_, file_.get_or<std::uint32_t>("general.alignment", limits::kAlignmentDefault));
  if (!std::has_single_bit(alignment_) || alignment_ > limits::kAlignmentMax) {
    return std::unexpected(
        cursor_.bad(cursor_.offset(), "metadata 'general.alignment' before",
                    fmt::format("a power of two up to {}", limits::kAlignmentMax),
                    fmt::format("{}", alignment_)));
  }
  return {};
}

Result<std::vector<std::uint64_t>> GgufParser::parse_shape(std::string_view what) {
  const std::uint64_t start = cursor_.offset();
  TRY(const auto dimensions, cursor_.read<std::uint32_t>(what));
  if (dimensions > limits::kDimensionsMax) {
    return std::unexpected(cursor_.bad(start, what,
                                       fmt::format("at most {} dimensions", limits::kDimensionsMax),
                                       fmt::format("{}", dimensions)));
  }
  std::vector<std::uint64_t> shape(dimensions);
  std::uint64_t values = 1;
  for (std::uint64_t& extent : shape) {
    const std::uint64_t extent_at = cursor_.offset();
    TRY(extent, cursor_.read<std::uint64_t>(what));
    // The product stays within int64, which ONNX's dimensions and sizes are.
    if (extent == 0 || extent > (kSizeMax >> 1) / values) {
      return std::unexpected(cursor_.bad(extent_at, what,
                                         "dimensions of 1 or more whose product fits 63 bits",
                                         fmt::format("{}", extent)));
    }
    values *= extent;
  }
  return shape;
}

Result<std::uint64_t> GgufParser::tensor_size_bytes(std::uint64_t offset, std::string_view what,
                                                    const GgufTensor& tensor) const {
  const GgmlTypeInfo layout = info(tensor.type);
  const std::uint64_t row = tensor.shape.empty() ? 1 : tensor.shape.front();
  if (row % layout.block_values != 0) {
    return std::unexpected(cursor_.bad(
        offset, what,
        fmt::format("rows of whole {} blocks ({} values)", layout.name, layout.block_values),
        fmt::format("rows of {} values", row)));
  }
  const std::uint64_t blocks = tensor.value_count() / layout.block_values;
  if (blocks > (kSizeMax >> 1) / layout.block_bytes) {
    return std::unexpected(
        cursor_.bad(offset, what, "a size that fits 63 bits",
                    fmt::format("{} blocks of {} bytes", blocks, layout.block_bytes)));
  }
  return blocks * layout.block_bytes;
}

Result<void> GgufParser::parse_tensor_info() {
  const std::uint64_t start = cursor_.offset();
  GgufTensor tensor;
  TRY(tensor.name, cursor_.read_string(limits::kTensorNameBytesMax, "tensor name"));
  const std::string what = fmt::format("tensor '{}'", shown(tensor.name));
  if (!file_.tensor_index_.emplace(tensor.name, file_.tensors_.size()).second) {
    return std::unexpected(cursor_.bad(start, what, "each name once", "it again"));
  }
  TRY(tensor.shape, parse_shape(what));
  const std::uint64_t type_at = cursor_.offset();
  TRY(const auto number, cursor_.read<std::uint32_t>(what));
  const auto type = find_ggml_type(number);
  if (!type) {
    return std::unexpected(unsupported(
        fmt::format("{} at byte {}: expected a tensor type of ggml's, found number {}", what,
                    type_at, number),
        "the file is damaged, or newer than this program, or uses a type ggml has removed"));
  }
  tensor.type = type->type;
  TRY(const auto size_bytes, tensor_size_bytes(start, what, tensor));
  const std::uint64_t offset_at = cursor_.offset();
  TRY(const auto offset, cursor_.read<std::uint64_t>(what));
  if (offset % alignment_ != 0 || offset > (kSizeMax >> 1)) {
    return std::unexpected(
        cursor_.bad(offset_at, what, fmt::format("an offset that is a multiple of {}", alignment_),
                    fmt::format("{}", offset)));
  }
  placements_.push_back({.info_offset = start, .offset = offset, .size_bytes = size_bytes});
  file_.tensors_.push_back(std::move(tensor));
  return {};
}

Result<void> GgufParser::refuse_overlaps() const {
  std::vector<std::size_t> order(placements_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [this](std::size_t i) { return placements_[i].offset; });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const Placement& before = placements_[order[i - 1]];
    const Placement& here = placements_[order[i]];
    // Both are below 2^63: no overflow.
    if (before.offset + before.size_bytes <= here.offset) continue;
    return std::unexpected(cursor_.bad(
        here.info_offset, fmt::format("tensor '{}'", shown(file_.tensors_[order[i]].name)),
        fmt::format("data after byte {} of the data section, where '{}' ends",
                    before.offset + before.size_bytes, shown(file_.tensors_[order[i - 1]].name)),
        fmt::format("data at byte {}", here.offset)));
  }
  return {};
}

Result<void> GgufParser::place_tensors() {
  if (placements_.empty()) return {};
  const std::uint64_t data_start = (cursor_.offset() + alignment_ - 1) / alignment_ * alignment_;
  // The whole extent first, so that a short file's error says how long it should have been.
  std::uint64_t last = 0;
  for (std::size_t i = 1; i < placements_.size(); ++i) {
    const auto end = [this](std::size_t k) {
      return placements_[k].offset + placements_[k].size_bytes;
    };
    if (end(i) > end(last)) last = i;
  }
  const Placement& furthest = placements_[last];
  const std::uint64_t data_end = furthest.offset + furthest.size_bytes;  // below 2^64
  const std::string what = fmt::format("tensor '{}'", shown(file_.tensors_[last].name));
  if (data_end > kSizeMax - data_start) {
    return std::unexpected(
        cursor_.bad(furthest.info_offset, what, "data inside the file",
                    fmt::format("data up to byte {} of the data section", data_end)));
  }
  if (data_start + data_end > file_.bytes_.size()) {
    return std::unexpected(cursor_.truncated(furthest.info_offset, what, data_start + data_end));
  }
  TRY_VOID(refuse_overlaps());
  for (std::size_t i = 0; i < placements_.size(); ++i) {
    file_.tensors_[i].data =
        file_.bytes_.subspan(data_start + placements_[i].offset, placements_[i].size_bytes);
  }
  return {};
}

std::uint64_t GgufTensor::value_count() const {
  return std::accumulate(shape.begin(), shape.end(), std::uint64_t{1}, std::multiplies<>());
}

Result<GgufFile> GgufFile::parse(std::span<const std::byte> bytes) {
  return GgufParser(bytes).parse();
}

Result<GgufFile> GgufFile::open(const std::filesystem::path& path) {
  TRY(MappedFile mapping, MappedFile::open(path));
  auto file = parse(mapping.bytes());
  if (!file) {
    return std::unexpected(with_context(path.filename().string(), std::move(file).error()));
  }
  file->mapping_ = std::move(mapping);
  return file;
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace onnxlocal
