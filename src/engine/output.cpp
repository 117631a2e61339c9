#include "engine/output.h"

#include <algorithm>
#include <utility>

namespace onnxlocal {

Output::Output(const Tokenizer* tokenizer, std::vector<std::string> stop_strings,
               std::vector<TokenId> visible_tokens)
    : visible_tokens_(std::move(visible_tokens)), matcher_(std::move(stop_strings)) {
  if (tokenizer) stream_.emplace(tokenizer->stream());
}

Result<Output::Release> Output::push(TokenReport report) {
  TRY(const std::string text, text_of(report.chosen.token));
  const std::size_t begin = text_bytes_;
  text_bytes_ += text.size();
  held_.push_back({.report = std::move(report), .text_begin = begin, .text_end = text_bytes_});
  return release(matcher_.push(text), false);
}

Result<std::string> Output::text_of(TokenId token) {
  if (!stream_) return std::string();
  const bool is_visible = std::ranges::find(visible_tokens_, token) != visible_tokens_.end();
  return is_visible ? stream_->push_visible(token) : stream_->push(token);
}

Result<Output::Release> Output::finish() {
  std::string text;
  if (stream_) {
    TRY(text, stream_->finish());
  }
  text_bytes_ += text.size();
  StopMatcher::Release last = matcher_.push(text);
  if (!last.stop_string) last.text += matcher_.flush();
  return release(std::move(last), true);
}

/// A token shows once all of its text does. At the end also one that shows in part, and those
/// whose text the stop string did not take.
Output::Release Output::release(StopMatcher::Release text, bool is_last) {
  Release release;
  released_bytes_ += text.text.size();
  release.delta.text = std::move(text.text);
  const bool is_over = is_last || text.stop_string.has_value();
  release.stop_string = std::move(text.stop_string);
  while (!held_.empty()) {
    const Held& first = held_.front();
    const bool shows_in_part = is_over && first.text_begin < released_bytes_;
    if (first.text_end > released_bytes_ && !shows_in_part) break;
    release.delta.tokens.push_back(std::move(held_.front().report));
    held_.pop_front();
  }
  return release;
}

}  // namespace onnxlocal
