#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

#include "api/anthropic/documents.h"
#include "api/anthropic/tool_pairing.h"
#include "api/anthropic/tools.h"
#include "api/fields.h"
#include "base/json_text.h"
#include "generation/message.h"

namespace onnxlocal::anthropic {

/// One message as the client sent it, its blocks in our vocabulary. Neighbouring texts are one.
struct Turn {
  Role role = Role::kUser;
  std::vector<ContentBlock> content;
  std::optional<std::chrono::seconds> cache_ttl;  ///< The longest that its blocks ask for.
  std::size_t cache_controls = 0;
};

/// Reads messages in their order. Borrows what it is made of.
class TurnParser {
 public:
  TurnParser(ToolList& tools, const PdfReader& read_pdf) : tools_(tools), read_pdf_(read_pdf) {}

  /// Element `index` of `messages`, and its text. Errors: invalid_request, naming the path.
  Result<Turn> parse_message(const json::value& value, json::TextView text, std::size_t index,
                             bool is_last);

  /// The request's `system`; `value` is its text or its blocks.
  Result<Turn> parse_system(const json::value& value);

  /// After the last message. Errors: invalid_request (a call without its result).
  Result<void> finish() const { return pairing_.finish(); }

 private:
  Result<void> parse_content(const json::value& content, std::optional<json::TextView> text,
                             const std::string& path, Turn& turn);
  Result<void> parse_block(const Fields& block, json::TextView text, Turn& turn);
  Result<void> parse_assistant_block(const Fields& block, std::string_view type,
                                     json::TextView text, Turn& turn);
  Result<void> parse_tool_use(const Fields& block, json::TextView text, Turn& turn);
  Result<void> parse_tool_result(const Fields& block, Turn& turn);
  Result<void> parse_tool_addition(const Fields& block, Turn& turn);
  Result<std::string> parse_result_content(const Fields& block);
  Result<std::string> parse_result_block(const Fields& block);

  ToolList& tools_;
  const PdfReader& read_pdf_;
  ToolPairing pairing_;
};

/// Adds a block where it belongs: text joins the text before it, results come first (that is where
/// a call's answer is looked for), empty text is left out.
void append_block(std::vector<ContentBlock>& content, ContentBlock block,
                  std::string_view separator);

}  // namespace onnxlocal::anthropic
