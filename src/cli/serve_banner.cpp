#include "cli/serve_banner.h"

#include <algorithm>

#include <fmt/format.h>

namespace onnxlocal {

namespace {

constexpr std::uint32_t kContextUnknown = 8192;

}  // namespace

std::uint32_t claude_output_tokens(std::uint32_t context_tokens) {
  return std::clamp(context_tokens / 4, 256U, 32000U);
}

std::string to_text(const ServeBanner& banner) {
  const std::string model = "onnx-local/" + (banner.model.empty() ? "MODEL" : banner.model);
  const std::uint32_t context = banner.context_tokens > 0 ? banner.context_tokens : kContextUnknown;
  std::string text = fmt::format(
      "{} at {}\n\n"
      "curl:\n"
      "  curl {}/v1/messages -H 'content-type: application/json'{} -d "
      "'{{\"model\": \"{}\", \"max_tokens\": 64, "
      "\"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'\n\n",
      banner.model.empty() ? "No model is loaded; /health says why" : banner.model, banner.url,
      banner.url, banner.has_keys ? " -H 'x-api-key: KEY'" : "", model);
  text += fmt::format(
      "Claude Code:\n"
      "  ANTHROPIC_BASE_URL={} ANTHROPIC_API_KEY={} ANTHROPIC_MODEL={} \\\n"
      "  CLAUDE_CODE_MAX_CONTEXT_TOKENS={} CLAUDE_CODE_MAX_OUTPUT_TOKENS={} \\\n"
      "  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 CLAUDE_CODE_ATTRIBUTION_HEADER=0 \\\n"
      "  claude --bare -p \"What is 2 + 2?\"\n\n"
      "Ctrl-C stops the server.\n",
      banner.url, banner.has_keys ? "KEY" : "local", model, context, claude_output_tokens(context));
  return text;
}

}  // namespace onnxlocal
