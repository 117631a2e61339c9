#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "base/utf8.h"
#include "dialect/output_parser.h"

namespace {

using namespace onnxlocal;

constexpr std::array<std::string_view, 8> kTemplates{
    "",
    "<tool_call> arguments tools </think>",
    "<|start_header_id|> tools tool_calls parameters",
    "[TOOL_CALLS] [AVAILABLE_TOOLS]",
    "[TOOL_CALLS] [AVAILABLE_TOOLS] [ARGS] [THINK]",
    "<|tool_call|>",
    "<start_of_turn>",
    "<｜Assistant｜> <｜tool▁calls▁begin｜> </think>"};

/// What the events come to, joined; inputs are checked on the way.
std::string joined(const std::vector<ParsedEvent>& events) {
  std::string all;
  std::string input;
  std::size_t last_kind = std::variant_npos;
  for (const ParsedEvent& event : events) {
    if (event.index() != last_kind) all += '\x01' + std::to_string(event.index()) + '\x02';
    last_kind = event.index();
    if (const auto* text = std::get_if<ParsedText>(&event)) all += text->text;
    if (const auto* thinking = std::get_if<ParsedThinking>(&event)) all += thinking->text;
    if (const auto* call = std::get_if<ParsedCall>(&event)) all += call->name;
    if (const auto* part = std::get_if<ParsedInput>(&event)) {
      all += part->json;
      input += part->json;
    }
    if (const auto* end = std::get_if<ParsedCallEnd>(&event)) {
      all += end->is_whole ? '+' : '-';
      // Numbers beyond a double are JSON, but not to the parser that asks here.
      const auto parsed = json::parse(input, {.depth_max = 70, .bytes_max = 1U << 24});
      CHECK(parsed || input.contains('e') || input.contains('E') || input.size() > 300);
      CHECK(input.starts_with('{') && input.ends_with('}'));
      input.clear();
    }
  }
  CHECK(input.empty());
  return all;
}

}  // namespace

/// Any text, however it is cut, comes to the same events, and each call's input is JSON.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view source = kTemplates[data[0] % kTemplates.size()];
  std::uint32_t random = data[1];
  const std::string_view raw(reinterpret_cast<const char*>(data + 2), size - 2);
  if (!is_valid_utf8(raw)) return 0;
  const auto dialect = std::make_shared<const Dialect>(
      detect_dialect(source, [&](std::string_view token) { return source.contains(token); }));
  OutputParserOptions options;
  options.begins_thinking = dialect->can_think && (data[1] & 1) != 0;
  options.tool_names = {"f", "get"};
  const bool is_cut = (data[1] & 4) != 0;

  std::vector<ParsedEvent> whole;
  OutputParser at_once(dialect, options);
  at_once.push(raw, whole);
  at_once.finish(whole, is_cut);

  std::vector<ParsedEvent> pieces;
  OutputParser parser(dialect, options);
  for (std::string_view rest = raw; !rest.empty();) {
    random = random * 1664525 + 1013904223;
    const std::string_view piece = rest.substr(0, 1 + (random >> 24) % 7);
    parser.push(piece, pieces);
    rest.remove_prefix(piece.size());
  }
  parser.finish(pieces, is_cut);
  CHECK(joined(whole) == joined(pieces));
  return 0;
}
