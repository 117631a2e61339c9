#include "server/middleware/api_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <span>
#include <system_error>

#include "base/file_system.h"
#include "base/hash.h"

namespace onnxlocal {

namespace {

constexpr std::size_t kFileBytesMax = std::size_t{1} << 20;
constexpr std::size_t kKeysMax = 10'000;  // All are compared for each request: a millisecond.
constexpr std::size_t kKeyBytesMax = 512;
constexpr std::size_t kNameBytesMax = 64;
constexpr std::string_view kBlank = " \t\r";

bool is_visible_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7F; });
}

std::string digest_of(std::string_view text) { return sha256_hex(std::as_bytes(std::span(text))); }

/// Takes the next word from the front; empty at the end.
std::string_view take_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(kBlank));
  line.remove_prefix(word.size());
  return word;
}

Result<std::uint32_t> to_limit(std::string_view field, std::string_view value) {
  std::uint32_t number = 0;
  const char* const end = value.data() + value.size();
  const auto [stopped, error] = std::from_chars(value.data(), end, number);
  if (error != std::errc{} || stopped != end || number == 0) {
    return std::unexpected(invalid_request(fmt::format("{}: expected a number from 1", field)));
  }
  return number;
}

std::optional<std::uint32_t>* limit_of(KeyLimits& limits, std::string_view field) {
  if (field == "requests-per-minute") return &limits.requests_per_minute;
  if (field == "tokens-per-minute") return &limits.tokens_per_minute;
  if (field == "input-tokens-per-minute") return &limits.input_tokens_per_minute;
  if (field == "output-tokens-per-minute") return &limits.output_tokens_per_minute;
  if (field == "concurrent-requests") return &limits.concurrent_requests;
  return nullptr;
}

Result<void> apply(ApiKey& key, std::string_view word) {
  const auto equals = word.find('=');
  const std::string_view field = word.substr(0, equals);
  const std::string_view value =
      equals == std::string_view::npos ? std::string_view() : word.substr(equals + 1);
  if (field == "name" && !value.empty()) {
    if (value.size() > kNameBytesMax || !is_visible_ascii(value)) {
      return std::unexpected(invalid_request(
          fmt::format("name: expected at most {} visible ASCII characters", kNameBytesMax)));
    }
    key.name = std::string(value);
    return {};
  }
  std::optional<std::uint32_t>* limit = limit_of(key.limits, field);
  if (limit == nullptr) {
    // The word is not repeated: it may be a key that stands in the wrong place.
    return std::unexpected(invalid_request(
        "what follows a key is name=, requests-per-minute=, tokens-per-minute=, "
        "input-tokens-per-minute=, output-tokens-per-minute= or concurrent-requests="));
  }
  TRY(*limit, to_limit(field, value));
  return {};
}

Result<ApiKey> parse_line(std::string_view line, std::size_t number) {
  TRY(ApiKey key, make_api_key(take_word(line), fmt::format("key {}", number)));
  for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
    TRY_VOID(apply(key, word));
  }
  return key;
}

std::optional<std::string> permission_warning(const std::filesystem::path& path) {
  using std::filesystem::perms;
  std::error_code error;
  const perms granted = std::filesystem::status(path, error).permissions();
  if (error || (granted & (perms::group_all | perms::others_all)) == perms::none) {
    return std::nullopt;
  }
  return fmt::format("{} is open to other users of this machine: chmod 600 it", path.string());
}

}  // namespace

KeyLimits KeyLimits::or_else(const KeyLimits& defaults) const {
  const auto either = [](const auto& own, const auto& fallback) { return own ? own : fallback; };
  return {
      .requests_per_minute = either(requests_per_minute, defaults.requests_per_minute),
      .tokens_per_minute = either(tokens_per_minute, defaults.tokens_per_minute),
      .input_tokens_per_minute = either(input_tokens_per_minute, defaults.input_tokens_per_minute),
      .output_tokens_per_minute =
          either(output_tokens_per_minute, defaults.output_tokens_per_minute),
      .concurrent_requests = either(concurrent_requests, defaults.concurrent_requests)};
}

Result<ApiKey> make_api_key(std::string_view text, std::string name) {
  if (text.empty() || text.size() > kKeyBytesMax || !is_visible_ascii(text)) {
    return std::unexpected(
        invalid_request(fmt::format("a key has 1 to {} visible ASCII characters", kKeyBytesMax)));
  }
  return ApiKey{.name = std::move(name), .digest = digest_of(text), .limits = {}};
}

Result<std::vector<ApiKey>> parse_key_file(std::string_view text) {
  std::vector<ApiKey> keys;
  std::vector<std::string_view> digests;
  std::size_t number = 0;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    ++number;
    line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
    if (line.empty() || line.starts_with('#')) continue;
    auto key = parse_line(line, keys.size() + 1);
    if (!key) return std::unexpected(with_context(fmt::format("line {}", number), key.error()));
    if (keys.size() == kKeysMax) {
      return std::unexpected(invalid_request(fmt::format("more than {} keys", kKeysMax)));
    }
    keys.push_back(*std::move(key));
  }
  if (keys.empty()) {
    return std::unexpected(invalid_request("the file holds no key", "write one on each line"));
  }
  for (const ApiKey& key : keys) digests.emplace_back(key.digest);
  std::ranges::sort(digests);
  if (std::ranges::adjacent_find(digests) != digests.end()) {
    return std::unexpected(invalid_request("a key is there twice"));
  }
  return keys;
}

Result<LoadedKeys> load_key_file(const std::filesystem::path& path) {
  TRY(const std::string text, read_text_file(path, kFileBytesMax));
  auto keys = parse_key_file(text);
  if (!keys) return std::unexpected(with_context(path.string(), keys.error()));
  return LoadedKeys{.keys = *std::move(keys), .warning = permission_warning(path)};
}

const ApiKey* KeyRing::find(std::string_view text) const {
  const std::string digest = digest_of(text);
  const ApiKey* found = nullptr;
  for (const ApiKey& key : keys_) {
    if (equal_in_constant_time(key.digest, digest)) found = &key;
  }
  return found;
}

const ApiKey* presented_key(const KeyRing& ring, const HttpRequest& request) {
  constexpr std::string_view kBearer = "bearer ";
  const ApiKey* found = nullptr;
  if (const auto text = find_header(request.headers, "x-api-key")) found = ring.find(*text);
  const auto authorization = find_header(request.headers, "authorization");
  if (found != nullptr || !authorization || authorization->size() < kBearer.size()) return found;
  const auto is_same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; };
  if (!std::ranges::equal(authorization->substr(0, kBearer.size()), kBearer, is_same)) return found;
  return ring.find(authorization->substr(kBearer.size()));
}

}  // namespace onnxlocal
