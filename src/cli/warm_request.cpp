#include "cli/warm_request.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/json.h"
#include "base/json_text.h"

namespace onnxlocal {

namespace {

constexpr unsigned kOk = 200;

/// A member's value, and what takes its place.
struct Replacement {
  std::string_view old;
  std::string_view now;
};

std::uint64_t count_of(const json::object& usage, std::string_view key) {
  const json::value* count = usage.if_contains(key);
  if (count == nullptr || !count->is_int64() || count->get_int64() < 0) return 0;
  return static_cast<std::uint64_t>(count->get_int64());
}

const json::object* member_object(const json::object& object, std::string_view key) {
  const json::value* member = object.if_contains(key);
  return member == nullptr ? nullptr : member->if_object();
}

Error server_error(const json::object& document, unsigned status) {
  const json::object* error = member_object(document, "error");
  const json::value* message = error == nullptr ? nullptr : error->if_contains("message");
  const std::string text = message != nullptr && message->is_string()
                               ? std::string(message->get_string())
                               : fmt::format("status {}", status);
  const bool is_too_long = text.starts_with("prompt is too long");
  return unavailable("the server answers: " + text,
                     is_too_long ? "Import a model with a longer window: --context 32768." : "");
}

}  // namespace

Result<std::string> one_token_request(std::string_view body) {
  const auto document = json::parse(body);
  const json::TextView text(body);
  const auto tokens_max =
      document && document->is_object() ? text.member("max_tokens") : std::nullopt;
  if (!tokens_max) {
    return std::unexpected(invalid_request("what the client sent is no request for a message"));
  }
  std::vector<Replacement> changes = {{tokens_max->text(), "1"}};
  if (const auto stream = text.member("stream")) changes.push_back({stream->text(), "false"});
  std::ranges::sort(changes, std::less<>(), [](const Replacement& c) { return c.old.data(); });
  std::string result;
  const char* position = body.data();
  for (const Replacement& change : changes) {
    result.append(position, change.old.data());
    result += change.now;
    position = change.old.data() + change.old.size();
  }
  result.append(position, body.data() + body.size());
  return result;
}

Result<PromptUsage> read_prompt_usage(unsigned status, std::string_view body) {
  const auto document = json::parse(body);
  if (!document || !document->is_object()) {
    return std::unexpected(internal_error("the server's answer is no JSON"));
  }
  if (status != kOk) return std::unexpected(server_error(document->get_object(), status));
  const json::object* usage = member_object(document->get_object(), "usage");
  if (usage == nullptr) return std::unexpected(internal_error("the server's answer has no usage"));
  return PromptUsage{.cached_tokens = count_of(*usage, "cache_read_input_tokens"),
                     .computed_tokens = count_of(*usage, "input_tokens") +
                                        count_of(*usage, "cache_creation_input_tokens")};
}

}  // namespace onnxlocal
