#include "library/pending_reply.h"

#include <utility>
#include <variant>

#include "library/convert.h"

namespace onnxlocal::embed {
namespace {

/// True where the event was the last one that `reply` needs.
bool add(Reply& reply, GenerationEvent& event) {
  if (auto* delta = std::get_if<GenerationDelta>(&event)) {
    reply.text += delta->text;
    for (const TokenReport& report : delta->tokens) reply.tokens.push_back(to_public(report));
    return false;
  }
  auto* finished = std::get_if<GenerationFinished>(&event);
  if (!finished) return false;
  reply.stop_reason = to_public(finished->reason);
  reply.stop_string = std::move(finished->stop_string);
  reply.usage = to_public(finished->usage);
  return true;
}

}  // namespace

EventSink PendingReply::sink() {
  return [events = events_](GenerationEvent event) {
    static_cast<void>(events->push(std::move(event)));
  };
}

Result<Reply> PendingReply::collect(const TextCallback& on_text, Deadline deadline) {
  Reply reply;
  while (true) {
    auto event = events_->pop(deadline);
    if (!event) {
      active_.cancel();
      return std::unexpected(Error{.code = ErrorCode::kTimeout,
                                   .message = "the time limit passed before the answer ended",
                                   .hint = "raise time_limit, or lower tokens_max"});
    }
    if (const auto* failed = std::get_if<GenerationFailed>(&*event)) {
      return std::unexpected(to_public(failed->error));
    }
    const auto* delta = std::get_if<GenerationDelta>(&*event);
    if (delta && on_text && !delta->text.empty() && !on_text(delta->text)) {
      active_.cancel();
      return std::unexpected(
          Error{.code = ErrorCode::kCancelled, .message = "stopped by the callback", .hint = {}});
    }
    if (add(reply, *event)) return reply;
  }
}

}  // namespace onnxlocal::embed
