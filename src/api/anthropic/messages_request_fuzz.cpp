// Any bytes as the body of POST /v1/messages: an answer or an error, never a crash; and what was
// accepted keeps the promises that request.h makes to the provider.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/anthropic/request.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxlocal;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const auto kind : {anthropic::RequestKind::kCreate, anthropic::RequestKind::kCountTokens}) {
    const auto parsed = anthropic::parse_messages_request(body, kind);
    if (!parsed) {
      CHECK(!parsed.error().error.message.empty());
      continue;
    }
    CHECK(parsed->generation.tokens_max >= 1);
    CHECK(!parsed->generation.messages.empty());
    CHECK(parsed->generation.sampling.top_p.value_or(1) > 0);
    for (std::size_t i = 1; i < parsed->generation.messages.size(); ++i) {
      CHECK(parsed->generation.messages[i].role != parsed->generation.messages[i - 1].role);
    }
  }
  return 0;
}
