#include "engine/disk_pool_folder.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <map>
#include <optional>
#include <system_error>

#include <fmt/format.h>

#include "base/file_system.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kNoteName = "pool.json";
constexpr std::size_t kNoteBytesMax = 64 << 10;
constexpr std::size_t kPoolNameDigits = 32;
/// More segments than a cache of any sensible size has: a bound on what a folder may cost.
constexpr std::size_t kSegmentsMax = std::size_t{1} << 16;

bool is_pool(const fs::path& folder) {
  const std::string name = folder.filename().string();
  return name.size() == kPoolNameDigits &&
         name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::vector<fs::path> pools_in(const fs::path& folder) {
  std::vector<fs::path> pools;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (is_pool(entry.path()) && entry.is_directory(error)) pools.push_back(entry.path());
  }
  std::ranges::sort(pools);
  return pools;
}

std::optional<std::uint32_t> segment_number(const fs::path& file) {
  if (file.extension() != kSegmentSuffix) return std::nullopt;
  const std::string stem = file.stem().string();
  std::uint32_t number = 0;
  const char* end = stem.data() + stem.size();
  const auto [stopped, error] = std::from_chars(stem.data(), end, number);
  // The name that we would give it, no other spelling of the number.
  if (error != std::errc{} || stopped != end || stem != fmt::format("{:06}", number)) {
    return std::nullopt;
  }
  return number;
}

std::uint64_t pool_bytes(const fs::path& pool) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(pool, error)) {
    const std::uintmax_t size = entry.file_size(error);
    if (!error) bytes += size;
  }
  return bytes;
}

/// Seconds since 1970; 0 for a pool without segments.
std::uint64_t last_write(const fs::path& pool) {
  std::uint64_t last = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(pool, error)) {
    if (!segment_number(entry.path())) continue;
    const auto time = std::chrono::file_clock::to_sys(entry.last_write_time(error));
    if (error) continue;
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
    last = std::max(last, static_cast<std::uint64_t>(std::max<std::int64_t>(seconds, 0)));
  }
  return last;
}

/// False where somebody has it open.
bool remove_pool(const fs::path& pool) {
  const auto lock = FileLock::try_acquire(pool);
  if (!lock) return false;
  std::error_code failed;
  fs::remove_all(pool, failed);
  if (failed) LOG_WARNING("prefix cache: {} is not removed: {}", pool.string(), failed.message());
  return !failed;
}

Result<DiskPoolKey> read_pool_note(const fs::path& pool) {
  TRY(const std::string text, read_text_file(pool / kNoteName, kNoteBytesMax));
  TRY(const json::value parsed, json::parse(text));
  const auto* object = parsed.if_object();
  const auto text_of = [&](const char* name) -> std::string {
    const auto* value = object ? object->if_contains(name) : nullptr;
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
  };
  const auto number_of = [&](const char* name) -> std::uint64_t {
    const auto* value = object ? object->if_contains(name) : nullptr;
    if (value && value->is_uint64()) return value->get_uint64();
    return value && value->is_int64() && value->get_int64() > 0
               ? static_cast<std::uint64_t>(value->get_int64())
               : 0;
  };
  return DiskPoolKey{.model = text_of("model"),
                     .model_hash = text_of("model_hash"),
                     .layout_id = text_of("layout"),
                     .block_tokens = static_cast<std::uint32_t>(std::min<std::uint64_t>(
                         number_of("block_tokens"), SegmentFile::kBlockTokensMax)),
                     .block_bytes = number_of("block_bytes")};
}

DiskPoolKey unknown_key() {
  DiskPoolKey key;
  key.model = "unknown";
  return key;
}

std::string to_hex(const DiskKey& key) {
  std::string hex;
  for (const std::byte byte : key) hex += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  return hex;
}

void add_segment(const fs::path& path, std::map<DiskKey, DiskPoolSummary::Scope>& scopes) {
  auto file = open_block_file(path, BlockFileMode::kRead);
  if (!file) return;
  const auto segment = SegmentFile::open(*std::move(file));
  if (!segment) return;
  const auto entries = segment->read_entries();
  if (!entries) return;
  for (const auto& [slot, entry] : *entries) {
    DiskPoolSummary::Scope& scope = scopes[entry.scope];
    scope.first_use =
        scope.blocks == 0 ? entry.last_use : std::min(scope.first_use, entry.last_use);
    scope.last_use = std::max(scope.last_use, entry.last_use);
    ++scope.blocks;
    scope.size_bytes += segment->shape().block_bytes;
  }
}

}  // namespace

Result<void> write_pool_note(const fs::path& folder, const DiskPoolKey& key) {
  const json::object note = {{"format", 1},
                             {"model", key.model},
                             {"model_hash", key.model_hash},
                             {"layout", key.layout_id},
                             {"block_tokens", key.block_tokens},
                             {"block_bytes", key.block_bytes}};
  TRY_VOID(write_text_file(folder / kNoteName, json::serialize(note) + "\n"));
  std::error_code error;
  fs::permissions(folder / kNoteName, fs::perms::owner_read | fs::perms::owner_write, error);
  return {};
}

std::vector<std::uint32_t> segment_numbers(const fs::path& folder) {
  std::vector<std::uint32_t> numbers;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (const auto number = segment_number(entry.path())) numbers.push_back(*number);
    if (numbers.size() >= kSegmentsMax) break;
  }
  std::ranges::sort(numbers);
  return numbers;
}

std::uint64_t pools_bytes(const fs::path& folder) {
  std::uint64_t bytes = 0;
  for (const fs::path& pool : pools_in(folder)) bytes += pool_bytes(pool);
  return bytes;
}

bool remove_oldest_pool(const fs::path& folder, const fs::path& except, std::uint64_t oldest_use) {
  std::vector<std::pair<std::uint64_t, fs::path>> others;
  for (const fs::path& pool : pools_in(folder)) {
    if (pool == except) continue;
    const std::uint64_t last = last_write(pool);
    if (last < oldest_use) others.emplace_back(last, pool);
  }
  std::ranges::sort(others);
  return std::ranges::any_of(others, [](const auto& pool) { return remove_pool(pool.second); });
}

std::vector<DiskPoolSummary> list_disk_pools(const fs::path& folder) {
  std::vector<DiskPoolSummary> pools;
  for (const fs::path& pool : pools_in(folder)) {
    auto key = read_pool_note(pool);
    DiskPoolSummary summary{.folder = pool,
                            .key = key ? *std::move(key) : unknown_key(),
                            .size_bytes = pool_bytes(pool),
                            .scopes = {}};
    std::map<DiskKey, DiskPoolSummary::Scope> scopes;
    for (const std::uint32_t number : segment_numbers(pool)) {
      add_segment(pool / fmt::format("{:06}{}", number, kSegmentSuffix), scopes);
    }
    for (auto& [id, scope] : scopes) {
      scope.id = to_hex(id);
      summary.scopes.push_back(std::move(scope));
    }
    pools.push_back(std::move(summary));
  }
  return pools;
}

DiskPoolRemoval remove_disk_pools(const fs::path& folder, std::string_view model) {
  DiskPoolRemoval removal;
  for (const fs::path& pool : pools_in(folder)) {
    const auto key = read_pool_note(pool);
    if (!model.empty() && (!key || key->model != model)) continue;
    const std::uint64_t bytes = pool_bytes(pool);
    if (remove_pool(pool)) {
      ++removal.removed;
      removal.size_bytes += bytes;
    } else {
      ++removal.in_use;
    }
  }
  return removal;
}

std::uint64_t default_disk_cache_bytes(const fs::path& folder) {
  constexpr std::uint64_t kMost = std::uint64_t{4} << 30;
  const auto free = free_disk_bytes(folder);
  if (!free) return 0;
  return std::min(kMost, (*free + pools_bytes(folder)) / 10);
}

DiskKey disk_key(std::string_view text) {
  const std::string hex = sha256_hex(std::as_bytes(std::span(text)));
  DiskKey key{};
  for (std::size_t i = 0; i < key.size(); ++i) {
    unsigned value = 0;
    std::from_chars(hex.data() + 2 * i, hex.data() + 2 * i + 2, value, 16);
    key[i] = static_cast<std::byte>(value);
  }
  return key;
}

}  // namespace onnxlocal
