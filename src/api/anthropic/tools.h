#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/fields.h"
#include "base/json_text.h"
#include "generation/tool.h"

namespace onnxlocal::anthropic {

/// The `tools` of a request.
class ToolList {
 public:
  /// `body` is the text of the whole request: schemas are taken from it as they were written.
  /// Errors: invalid_request, naming the path; Anthropic's own tools by their type.
  static Result<ToolList> parse(const Fields& request, json::TextView body);

  const ToolDefinition* find(std::string_view name) const;

  /// Marks the tool as loaded, and tells of its definition outside of the list, as a
  /// `tool_reference` asks. In full the first time alone, so that the text has an end.
  std::string load(std::string_view name);

  /// What the model may call, in the client's order: all that is not deferred or that was loaded.
  std::vector<ToolDefinition> callable() const;

  /// The time that a `cache_control` of a definition asks for; the longest.
  std::optional<std::chrono::seconds> cache_ttl() const { return cache_ttl_; }
  std::size_t cache_controls() const { return cache_controls_; }

 private:
  Result<void> add(const Fields& tool, json::TextView text);

  std::vector<ToolDefinition> tools_;  ///< A deferred one has `is_listed == false`.
  std::map<std::string, std::size_t, std::less<>> indices_;
  std::set<std::size_t> loaded_;
  std::optional<std::chrono::seconds> cache_ttl_;
  std::size_t cache_controls_ = 0;
};

/// `tool_choice`; a tool that it names is loaded then.
/// Errors: invalid_request, naming the path.
Result<ToolChoice> parse_tool_choice(const Fields& request, ToolList& tools);

/// True for 1 to `bytes_max` of [a-zA-Z0-9_-].
bool is_name(std::string_view text, std::size_t bytes_max);

}  // namespace onnxlocal::anthropic
