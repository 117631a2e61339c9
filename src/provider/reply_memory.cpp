#include "provider/reply_memory.h"

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "dialect/canonical_json.h"

namespace onnxlocal {
namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view kWhiteSpace = " \n\r\t";
  const std::size_t begin = text.find_first_not_of(kWhiteSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kWhiteSpace) + 1 - begin);
}

bool is_same(const ReplyContent& came_back, const ReplyContent& kept) {
  if (came_back.said != kept.said) return false;
  const std::string thought = kept.thinking.value_or("");
  if (!came_back.thinking) return thought.empty();
  // A client may be shown that there was thinking, and not what.
  return came_back.thinking->empty() || *came_back.thinking == thought;
}

}  // namespace

ReplyContent content_of(const Message& message, std::string_view said_before) {
  constexpr char kTextMark = '\x01';
  constexpr char kCallMark = '\x02';
  ReplyContent content;
  std::string text(said_before);
  const auto flush = [&] {
    if (!trim(text).empty()) {
      content.said += kTextMark;
      content.said += trim(text);
    }
    text.clear();
  };
  for (const ContentBlock& block : message.content) {
    if (const auto* written = std::get_if<TextBlock>(&block)) {
      text += written->text;
    } else if (const auto* thinking = std::get_if<ThinkingBlock>(&block)) {
      content.thinking = content.thinking.value_or("") + thinking->text;
    } else if (const auto* call = std::get_if<ToolUseBlock>(&block)) {
      flush();
      content.said += kCallMark;
      content.said += call->name;
      content.said += kCallMark;
      content.said += canonical_json(call->input);
    }
  }
  flush();
  return content;
}

ReplyMemory::Key ReplyMemory::key_of(std::string_view scope, std::span<const TokenId> prefix) {
  return {hash_bytes(std::as_bytes(prefix), 0), prefix.size(), std::string(scope)};
}

void ReplyMemory::remember(std::string_view scope, std::span<const TokenId> prefix, Reply reply) {
  if (reply.tokens.empty() || reply.content.said.empty() || reply.tokens.size() > tokens_max_) {
    return;
  }
  Key key = key_of(scope, prefix);
  const std::scoped_lock lock(mutex_);
  const auto [begin, end] = by_key_.equal_range(key);
  for (auto it = begin; it != end; ++it) {
    const Reply& old = it->second->reply;
    if (old.content.said == reply.content.said && old.content.thinking == reply.content.thinking) {
      forget(it->second);
      break;
    }
  }
  tokens_ += reply.tokens.size();
  entries_.push_front({.key = key, .reply = std::move(reply)});
  by_key_.emplace(std::move(key), entries_.begin());
  while (tokens_ > tokens_max_) forget(std::prev(entries_.end()));
}

void ReplyMemory::forget(Entries::iterator entry) {
  tokens_ -= entry->reply.tokens.size();
  const auto [begin, end] = by_key_.equal_range(entry->key);
  const auto named =
      std::find_if(begin, end, [&](const auto& other) { return other.second == entry; });
  if (named != end) by_key_.erase(named);
  entries_.erase(entry);
}

std::optional<ReplyMemory::Recalled> ReplyMemory::recall(std::string_view scope,
                                                         std::span<const TokenId> prefix,
                                                         std::string_view rendered,
                                                         std::span<const ReplyContent> contents) {
  if (contents.empty()) return std::nullopt;
  const Key key = key_of(scope, prefix);
  const std::scoped_lock lock(mutex_);
  const auto [begin, end] = by_key_.equal_range(key);
  for (auto it = begin; it != end; ++it) {
    const Reply& reply = it->second->reply;
    if (!rendered.starts_with(reply.opening)) continue;
    const auto found = std::ranges::find_if(
        contents, [&](const ReplyContent& content) { return is_same(content, reply.content); });
    if (found == contents.end()) continue;
    entries_.splice(entries_.begin(), entries_, it->second);
    return Recalled{.tokens = reply.tokens,
                    .index = static_cast<std::size_t>(found - contents.begin())};
  }
  return std::nullopt;
}

std::size_t ReplyMemory::tokens_in_use() const {
  const std::scoped_lock lock(mutex_);
  return tokens_;
}

}  // namespace onnxlocal
