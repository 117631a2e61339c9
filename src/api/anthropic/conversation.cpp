#include "api/anthropic/conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "api/anthropic/cache_control.h"
#include "api/anthropic/limits.h"
#include "api/anthropic/turn.h"

namespace onnxlocal::anthropic {

namespace {

constexpr std::string_view kParagraph = "\n\n";

/// Places each turn by the rule of request.h.
class Canonicalizer {
 public:
  void add(Turn turn) {
    if (turn.cache_ttl) controls_ += turn.cache_controls;
    const std::optional<std::chrono::seconds> ttl = turn.cache_ttl;
    place(std::move(turn));
    if (ttl) breakpoints_.push_back({.messages = messages_.size(), .ttl = *ttl});
  }

  void add_breakpoint_at_end(std::chrono::seconds ttl) {
    ++controls_;
    breakpoints_.push_back({.messages = messages_.size(), .ttl = ttl});
  }

  std::size_t controls() const { return controls_; }

  Conversation finish(const ToolList& tools) {
    Conversation done;
    if (tools.cache_ttl()) done.cache_breakpoints.push_back({.ttl = *tools.cache_ttl()});
    const std::size_t in_front = system_.empty() ? 0 : 1;
    if (in_front == 1) {
      messages_.insert(messages_.begin(),
                       {.role = Role::kSystem, .content = {TextBlock{std::move(system_)}}});
    }
    for (CacheBreakpoint breakpoint : breakpoints_) {
      breakpoint.messages += in_front;
      auto& all = done.cache_breakpoints;
      if (!all.empty() && all.back().messages == breakpoint.messages) {
        all.back().ttl = std::max(all.back().ttl, breakpoint.ttl);
      } else {
        all.push_back(breakpoint);
      }
    }
    done.messages = std::move(messages_);
    return done;
  }

 private:
  void place(Turn turn) {
    const bool follows_first_user = users_ == 1 && only_system_since_user_;
    if (turn.role == Role::kSystem) {
      const std::string text = turn.content.empty()
                                   ? std::string()
                                   : std::get<TextBlock>(std::move(turn.content.front())).text;
      if (messages_.empty() || follows_first_user) {
        if (!system_.empty() && !text.empty()) system_ += kParagraph;
        system_ += text;
        return;
      }
      turn.role = Role::kUser;
      turn.content.clear();
      if (!text.empty()) {
        turn.content.emplace_back(
            TextBlock{fmt::format("<system-reminder>\n{}\n</system-reminder>", text)});
      }
    }
    users_ += turn.role == Role::kUser ? 1 : 0;
    only_system_since_user_ = turn.role == Role::kUser;
    if (turn.content.empty()) return;
    if (messages_.empty() || messages_.back().role != turn.role) {
      messages_.push_back({.role = turn.role, .content = std::move(turn.content)});
      return;
    }
    for (ContentBlock& block : turn.content) {
      append_block(messages_.back().content, std::move(block), kParagraph);
    }
  }

  std::string system_;
  std::vector<Message> messages_;  ///< Without the system's.
  std::vector<CacheBreakpoint> breakpoints_;
  std::size_t controls_ = 0;
  std::size_t users_ = 0;
  bool only_system_since_user_ = false;
};

Result<void> add_messages(const Fields& request, json::TextView body, TurnParser& parser,
                          Canonicalizer& canonical) {
  TRY_VOID(request.require("messages"));
  TRY(const json::array* list, request.list("messages", kMessagesMax));
  const auto written = body.member("messages");
  const auto slices = written ? written->elements() : std::vector<json::TextView>();
  std::optional<Role> first;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const json::TextView text = i < slices.size() ? slices[i] : json::TextView({});
    TRY(Turn turn, parser.parse_message((*list)[i], text, i, i + 1 == list->size()));
    if (!first && turn.role != Role::kSystem) first = turn.role;
    canonical.add(std::move(turn));
  }
  if (!first) return std::unexpected(field_error("messages", "at least one message is required"));
  if (*first != Role::kUser) {
    return std::unexpected(field_error("messages", "first message must use the \"user\" role"));
  }
  return parser.finish();
}

}  // namespace

Result<Conversation> parse_conversation(const Fields& request, json::TextView body, ToolList& tools,
                                        const PdfReader& read_pdf) {
  TurnParser parser(tools, read_pdf);
  Canonicalizer canonical;
  if (const json::value* system = request.find("system")) {
    TRY(Turn turn, parser.parse_system(*system));
    canonical.add(std::move(turn));
  }
  TRY_VOID(add_messages(request, body, parser, canonical));
  TRY(const auto ttl, parse_cache_control(request));
  if (ttl) canonical.add_breakpoint_at_end(*ttl);
  const std::size_t controls = canonical.controls() + tools.cache_controls();
  if (controls > kCacheControlsMax) {
    return std::unexpected(
        field_error({}, fmt::format("A maximum of {} blocks with cache_control may be provided. "
                                    "Found {}.",
                                    kCacheControlsMax, controls)));
  }
  return canonical.finish(tools);
}

}  // namespace onnxlocal::anthropic
