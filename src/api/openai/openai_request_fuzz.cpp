// Any bytes as the body of OpenAI's requests: a request or an error, never a crash; and what was
// accepted keeps the promises that generation/request.h makes to the provider.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string_view>

#include "api/openai/chat_request.h"
#include "api/openai/completion_request.h"
#include "api/openai/embedding_request.h"
#include "api/openai/response_request.h"
#include "base/check.h"
#include "base/json.h"

namespace {

using namespace onnxlocal;

void check_generation(const GenerationRequest& generation) {
  CHECK(!generation.model.empty());
  CHECK(generation.tokens_max >= 1);
  CHECK(generation.sampling.top_p.value_or(1) > 0);
  CHECK(generation.messages.empty() == generation.raw_prompt.has_value());
  std::set<std::string_view> names;
  for (const ToolDefinition& tool : generation.tools) {
    CHECK(names.insert(tool.name).second);
    const auto schema = json::parse(tool.input_schema);
    CHECK(schema.has_value() && schema->is_object());
  }
  for (std::size_t i = 0; i < generation.messages.size(); ++i) {
    const Message& message = generation.messages[i];
    CHECK(!message.content.empty());
    CHECK(i == 0 || message.role != generation.messages[i - 1].role);
    CHECK(i == 0 || message.role != Role::kSystem);
    for (const ContentBlock& block : message.content) {
      const auto* call = std::get_if<ToolUseBlock>(&block);
      if (call != nullptr) CHECK(json::parse(call->input).value().is_object());
    }
  }
}

template <class Parsed>
void check(const Parsed& parsed) {
  if (parsed) {
    check_generation(parsed->generation);
  } else {
    CHECK(!parsed.error().message.empty());
  }
}

void check_completion(const Result<openai::CompletionRequest>& parsed) {
  if (!parsed) {
    CHECK(!parsed.error().message.empty());
    return;
  }
  CHECK(parsed->answers() >= 1 && parsed->answers() <= openai::kAnswersMax);
  for (std::uint32_t answer = 0; answer < parsed->answers(); ++answer) {
    check_generation(openai::answer_request(*parsed, answer));
  }
}

void check_embedding(const Result<openai::EmbeddingBody>& parsed) {
  if (!parsed) {
    CHECK(!parsed.error().message.empty());
    return;
  }
  CHECK(!parsed->embedding.inputs.empty());
  CHECK(parsed->embedding.dimensions.value_or(1) >= 1);
  for (const RawPrompt& input : parsed->embedding.inputs) {
    CHECK(std::visit([](const auto& parts) { return !parts.empty(); }, input));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  check(openai::parse_chat_request(body));
  check_completion(openai::parse_completion_request(body));
  check_embedding(openai::parse_embedding_request(body));
  auto response = openai::parse_response_request(body);
  if (!response) {
    CHECK(!response.error().message.empty());
    return 0;
  }
  auto messages = openai::conversation_of(response->instructions, response->input, response->input);
  if (!messages) {
    CHECK(!messages.error().message.empty());
    return 0;
  }
  response->generation.messages = *std::move(messages);
  check_generation(response->generation);
  return 0;
}
