// Any bytes as the body of POST /v1/messages: an answer or an error, never a crash; and what was
// accepted keeps the promises that request.h makes to the provider.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

#include "api/anthropic/request.h"
#include "base/check.h"
#include "base/json.h"

namespace {

using namespace onnxlocal;

void check(const Message& message) {
  CHECK(!message.content.empty());
  for (const ContentBlock& block : message.content) {
    if (const auto* use = std::get_if<ToolUseBlock>(&block)) {
      CHECK(message.role == Role::kAssistant);
      CHECK(json::parse(use->input)->is_object());
    }
    if (std::holds_alternative<ToolResultBlock>(block)) CHECK(message.role == Role::kUser);
    if (std::holds_alternative<ThinkingBlock>(block)) CHECK(message.role == Role::kAssistant);
    if (const auto* text = std::get_if<TextBlock>(&block)) CHECK(!text->text.empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const auto kind : {anthropic::RequestKind::kCreate, anthropic::RequestKind::kCountTokens}) {
    const auto parsed = anthropic::parse_messages_request(
        body, kind,
        {.betas = {}, .read_pdf = [](std::string_view) { return Result<std::string>("text"); }});
    if (!parsed) {
      CHECK(!parsed.error().error.message.empty());
      continue;
    }
    CHECK(parsed->generation.tokens_max >= 1);
    CHECK(!parsed->generation.messages.empty());
    CHECK(parsed->generation.sampling.top_p.value_or(1) > 0);
    CHECK(parsed->generation.cache_breakpoints.size() <= 4);
    for (const CacheBreakpoint& breakpoint : parsed->generation.cache_breakpoints) {
      CHECK(breakpoint.messages <= parsed->generation.messages.size());
    }
    for (const ToolDefinition& tool : parsed->generation.tools) {
      CHECK(json::parse(tool.input_schema)->is_object());
    }
    for (const Message& message : parsed->generation.messages) check(message);
    for (std::size_t i = 1; i < parsed->generation.messages.size(); ++i) {
      CHECK(parsed->generation.messages[i].role != parsed->generation.messages[i - 1].role);
    }
  }
  return 0;
}
