#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "api/anthropic/request.h"
#include "base/json.h"

/// What the tests of request decoding share: requests as text, and what became of them.
namespace onnxlocal::anthropic {

inline Message message(Role role, std::string text) {
  return {.role = role, .content = {TextBlock{.text = std::move(text)}}};
}

/// A sound request with `fields` added or replaced (JSON object text without its braces). It goes
/// through a JSON library, so numbers lose their spelling.
inline std::string body(const std::string& fields) {
  json::value base = json::parse(R"({"model":"m","max_tokens":4,
    "messages":[{"role":"user","content":"hi"}]})")
                         .value();
  const json::value patch = json::parse("{" + fields + "}").value();
  for (const auto& [key, value] : patch.get_object()) base.get_object()[key] = value;
  return json::serialize(base);
}

inline MessagesRequest parse(const std::string& text, const DecodeOptions& options = {}) {
  auto parsed = parse_messages_request(text, RequestKind::kCreate, options);
  EXPECT_TRUE(parsed.has_value()) << (parsed ? "" : parsed.error().error.message);
  return parsed ? *std::move(parsed) : MessagesRequest{};
}

/// The messages of a sound request with this `messages` list; `more` goes behind it.
inline std::vector<Message> messages(const std::string& list, const std::string& more = {},
                                     const DecodeOptions& options = {}) {
  return parse(R"({"model":"m","max_tokens":4,"messages":)" + list + more + "}", options)
      .generation.messages;
}

inline std::string complaint(const std::string& text, const DecodeOptions& options = {}) {
  auto parsed = parse_messages_request(text, RequestKind::kCreate, options);
  if (parsed) return "it was accepted";
  EXPECT_EQ(parsed.error().error.code, ErrorCode::kInvalidRequest);
  return parsed.error().error.message;
}

/// For tables of malformed requests.
struct BadRequest {
  std::string fields;
  std::string complaint;
};

}  // namespace onnxlocal::anthropic
