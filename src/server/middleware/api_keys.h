#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "server/http_message.h"

namespace onnxlocal {

/// What one key may use. What is empty has no limit of its own.
struct KeyLimits {
  std::optional<std::uint32_t> requests_per_minute;
  std::optional<std::uint32_t> tokens_per_minute;  ///< Input and output together.
  std::optional<std::uint32_t> input_tokens_per_minute;
  std::optional<std::uint32_t> output_tokens_per_minute;
  std::optional<std::uint32_t> concurrent_requests;
  friend bool operator==(const KeyLimits&, const KeyLimits&) = default;

  /// The same, with `defaults` where nothing is said.
  KeyLimits or_else(const KeyLimits& defaults) const;
};

/// One key, without its text.
struct ApiKey {
  std::string name;    ///< For people: "key 1" where the file names none.
  std::string digest;  ///< SHA-256 of its text, in hexadecimal digits.
  KeyLimits limits;
};

/// A key from its text. Errors: invalid_request (empty, longer than 512 bytes, or not of visible
/// ASCII characters); they do not repeat the text.
Result<ApiKey> make_api_key(std::string_view text, std::string name);

/// Reads a key file (docs/api.md, "Keys"): a key on each line, then what belongs to it as
/// `name=value`. Errors: invalid_request, with the line's number and never with a key; a file
/// without a key is one.
Result<std::vector<ApiKey>> parse_key_file(std::string_view text);

struct LoadedKeys {
  std::vector<ApiKey> keys;
  std::optional<std::string> warning;  ///< Where others than the owner may read the file.
};
/// Errors: those of `parse_key_file` and `read_text_file`, with the path.
Result<LoadedKeys> load_key_file(const std::filesystem::path& path);

/// The keys that open the server. Network thread.
class KeyRing {
 public:
  KeyRing() = default;
  explicit KeyRing(std::vector<ApiKey> keys) : keys_(std::move(keys)) {}

  /// Nobody needs a key.
  bool is_open() const { return keys_.empty(); }
  /// The key with this text; null where there is none. All keys are looked at, each in constant
  /// time. Valid until the ring is assigned to.
  const ApiKey* find(std::string_view text) const;

 private:
  std::vector<ApiKey> keys_;
};

/// The key that came in `x-api-key` or as `Authorization: Bearer`: where both are there, the first
/// that opens the ring. Null where neither does.
const ApiKey* presented_key(const KeyRing& ring, const HttpRequest& request);

}  // namespace onnxlocal
