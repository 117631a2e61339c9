#include "api/anthropic/tool_pairing.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstddef>
#include <ranges>
#include <utility>

#include "api/fields.h"

namespace onnxlocal::anthropic {

namespace {
constexpr std::ptrdiff_t kShownIdsMax = 8;
}  // namespace

Result<void> ToolPairing::begin_assistant(std::size_t message) {
  if (!is_assistant_) TRY_VOID(check_no_open_use());
  is_assistant_ = true;
  message_ = message;
  return {};
}

Result<void> ToolPairing::add_use(std::string_view id, std::string_view name,
                                  std::string_view path) {
  if (!ids_.emplace(id).second) {
    return std::unexpected(field_error(path, "`tool_use` ids must be unique"));
  }
  open_.emplace(id, name);
  return {};
}

Result<std::string> ToolPairing::add_result(std::string_view id, std::string_view path) {
  if (const auto found = open_.find(id); found != open_.end()) {
    std::string name = std::move(found->second);
    open_.erase(found);
    return name;
  }
  if (ids_.contains(std::string(id))) {
    return std::unexpected(field_error(
        path, fmt::format("each tool_use must have a single result, right after it. Found another "
                          "`tool_result` block with id: {}",
                          id)));
  }
  return std::unexpected(field_error(
      path, fmt::format("unexpected `tool_use_id` found in `tool_result` blocks: {}. Each "
                        "`tool_result` block must have a corresponding `tool_use` block in the "
                        "previous message.",
                        id)));
}

Result<void> ToolPairing::check_no_open_use() const {
  if (open_.empty()) return {};
  const auto first_ids = open_ | std::views::keys | std::views::take(kShownIdsMax);
  return std::unexpected(field_error(
      fmt::format("messages.{}", message_),
      fmt::format("`tool_use` ids were found without `tool_result` blocks immediately after: {}. "
                  "Each `tool_use` block must have a corresponding `tool_result` block in the next "
                  "message.",
                  fmt::join(first_ids, ", "))));
}

Result<void> ToolPairing::finish() const { return check_no_open_use(); }

}  // namespace onnxlocal::anthropic
