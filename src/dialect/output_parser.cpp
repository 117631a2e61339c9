#include "dialect/output_parser.h"

#include <algorithm>
#include <utility>

namespace onnxlocal {
namespace {

constexpr std::string_view kSpace = " \n\r\t";
constexpr std::size_t kNameMax = 128;
constexpr std::size_t kHeaderMax = 1024;

std::string_view trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

/// How much of the end of `text` may yet become a mark.
std::size_t open_end(std::string_view text, const std::vector<std::string>& marks) {
  std::size_t longest = 0;
  for (const std::string& mark : marks) {
    for (std::size_t size = std::min(mark.size() - 1, text.size()); size > longest; --size) {
      if (text.ends_with(std::string_view(mark).substr(0, size))) longest = size;
    }
  }
  return longest;
}

/// The same, with the white space before it.
std::size_t open_end_with_space(std::string_view text, const std::vector<std::string>& marks) {
  const std::size_t end = text.size() - open_end(text, marks);
  const std::size_t last = text.substr(0, end).find_last_not_of(kSpace);
  return text.size() - (last == std::string_view::npos ? 0 : last + 1);
}

struct Found {
  std::size_t at = std::string_view::npos;
  std::string_view mark;
};
/// The first mark; of those at one place the first in `marks`.
Found find_first(std::string_view text, const std::vector<std::string>& marks) {
  Found found;
  for (const std::string& mark : marks) {
    const std::size_t at = text.find(mark);
    if (at < found.at) found = {.at = at, .mark = mark};
  }
  return found;
}

const std::string* starting_mark(std::string_view text, const std::vector<std::string>& marks) {
  const auto found =
      std::ranges::find_if(marks, [&](const std::string& mark) { return text.starts_with(mark); });
  return found == marks.end() ? nullptr : &*found;
}

bool is_one_of(std::string_view mark, const std::vector<std::string>& marks) {
  return std::ranges::find(marks, mark) != marks.end();
}

bool is_name(std::string_view name) {
  const auto is_name_byte = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-.:/").contains(c);
  };
  return !name.empty() && name.size() <= kNameMax && std::ranges::all_of(name, is_name_byte);
}

/// "name[CALL_ID]x[ARGS]", "function<｜tool▁sep｜>name\n```json\n", "name<｜tool▁sep｜>".
std::string_view name_in_header(std::string_view header) {
  constexpr std::string_view kSeparator = "<｜tool▁sep｜>";
  for (const std::string_view end : {"[CALL_ID]", "[ARGS]", "```"}) {
    header = header.substr(0, header.find(end));
  }
  const std::size_t at = header.find(kSeparator);
  if (at == std::string_view::npos) return trim(header);
  const std::string_view behind = trim(header.substr(at + kSeparator.size()));
  return behind.empty() ? trim(header.substr(0, at)) : behind;
}

}  // namespace

OutputParser::OutputParser(std::shared_ptr<const Dialect> dialect, OutputParserOptions options)
    : dialect_(std::move(dialect)), options_(std::move(options)) {
  const CallSyntax& calls = dialect_->calls;
  if (options_.reads_calls) {
    call_marks_ = calls.open_marks;
    call_marks_.insert(call_marks_.end(), calls.close_marks.begin(), calls.close_marks.end());
    begin_marks_ = calls.open_marks;
    if (calls.may_be_bare) {
      begin_marks_.insert(begin_marks_.end(), calls.bare_openings.begin(),
                          calls.bare_openings.end());
    }
  }
  std::ranges::sort(call_marks_, std::greater(), &std::string::size);
  std::ranges::sort(begin_marks_, std::greater(), &std::string::size);
  if (options_.begins_thinking) {
    state_ = State::kThinking;
    has_thought_ = true;
    is_trimming_ = true;
  }
}

void OutputParser::push(std::string_view text, std::vector<ParsedEvent>& events) {
  buffer_ += text;
  while (step(events)) {
  }
}

void OutputParser::finish(std::vector<ParsedEvent>& events, bool is_cut) {
  is_last_ = true;
  is_cut_ = is_cut;
  while (step(events)) {
  }
  if (state_ == State::kBody && body_->has_name()) {
    CallPiece piece;
    body_->close(piece);
    add_piece(std::move(piece), events);
    events.emplace_back(ParsedCallEnd{.is_whole = body_->is_whole()});
  } else if (is_calling() && !has_called_ && !is_opened_) {
    // Without a mark it may as well be an answer in JSON.
    give_up_call(events);
  }
  body_.reset();
  buffer_.clear();
}

bool OutputParser::step(Events& events) {
  switch (state_) {
    case State::kBegin: return begin(events);
    case State::kThinking: return think(events);
    case State::kText: return talk(events);
    case State::kBetween: return look_for_call(events);
    case State::kHeader: return read_header(events);
    case State::kBody: return read_body(events);
    case State::kSkip: return skip();
  }
  return false;
}

bool OutputParser::may_become(std::string_view text, const std::vector<std::string>& marks) {
  return std::ranges::any_of(marks, [&](const std::string& mark) {
    return mark.size() > text.size() && mark.starts_with(text);
  });
}

bool OutputParser::begin(Events&) {
  const std::size_t spaces = buffer_.find_first_not_of(kSpace);
  if (spaces == std::string::npos && !is_last_) return false;
  const std::string_view rest =
      spaces == std::string::npos ? std::string_view() : std::string_view(buffer_).substr(spaces);
  const bool may_think = dialect_->can_think && !has_thought_;
  const std::string& think_mark = dialect_->thinking.open;
  const bool may_be_mark =
      may_become(rest, begin_marks_) || (may_think && may_become(rest, {think_mark}));
  if (may_be_mark && (!is_last_ || (is_cut_ && !rest.empty()))) return false;
  if (may_think && rest.starts_with(think_mark)) {
    buffer_.erase(0, spaces + think_mark.size());
    state_ = State::kThinking;
    has_thought_ = true;
    is_trimming_ = true;
    return true;
  }
  if (const std::string* mark = starting_mark(rest, begin_marks_)) {
    const bool is_open_mark = is_one_of(*mark, dialect_->calls.open_marks);
    const std::size_t size = spaces + mark->size();
    std::string raw = buffer_.substr(0, size);
    buffer_.erase(0, size);
    enter_calls(std::move(raw), is_open_mark);
    return true;
  }
  if (options_.reads_calls && dialect_->calls.may_be_bare && rest.starts_with('{')) {
    enter_calls(buffer_.substr(0, spaces), false);
    buffer_.erase(0, spaces);
    return true;
  }
  state_ = State::kText;
  return true;
}

bool OutputParser::think(Events& events) {
  const std::string& close = dialect_->thinking.close;
  const std::size_t at = buffer_.find(close);
  const bool is_over = at != std::string::npos;
  const std::size_t kept = is_over || is_last_ ? 0 : open_end_with_space(buffer_, {close});
  std::string_view text = std::string_view(buffer_).substr(0, is_over ? at : buffer_.size() - kept);
  if (is_over || is_last_) text = text.substr(0, text.find_last_not_of(kSpace) + 1);
  if (is_trimming_) {
    const std::size_t begin = text.find_first_not_of(kSpace);
    text.remove_prefix(begin == std::string_view::npos ? text.size() : begin);
  }
  if (!text.empty()) {
    is_trimming_ = false;
    events.emplace_back(ParsedThinking{.text = std::string(text)});
  }
  buffer_.erase(0, is_over ? at + close.size() : buffer_.size() - kept);
  if (!is_over) return false;
  state_ = State::kBegin;
  is_trimming_ = true;
  return true;
}

bool OutputParser::talk(Events& events) {
  const std::vector<std::string> none;
  const auto& marks = options_.reads_calls ? dialect_->calls.open_marks : none;
  const Found found = find_first(buffer_, marks);
  if (!found.mark.empty()) {
    const std::size_t size = found.at + found.mark.size();
    const std::string_view before = std::string_view(buffer_).substr(0, found.at);
    const std::size_t text_size = before.find_last_not_of(kSpace) + 1;
    add_text(before.substr(0, text_size), events);
    std::string raw = buffer_.substr(text_size, size - text_size);
    buffer_.erase(0, size);
    enter_calls(std::move(raw), true);
    return true;
  }
  std::size_t kept = marks.empty() ? 0 : open_end_with_space(buffer_, marks);
  if (is_last_) kept = is_cut_ && !marks.empty() ? open_end(buffer_, marks) : 0;
  add_text(std::string_view(buffer_).substr(0, buffer_.size() - kept), events);
  buffer_.erase(0, buffer_.size() - kept);
  return false;
}

void OutputParser::enter_calls(std::string raw, bool is_opened) {
  state_ = State::kBetween;
  raw_ = std::move(raw);
  is_opened_ = is_opened;
  has_called_ = false;
}

bool OutputParser::look_for_call(Events& events) {
  constexpr std::string_view kFiller = " \n\r\t[],;";
  const auto read = [&](std::size_t size) {
    raw_ += std::string_view(buffer_).substr(0, size);
    buffer_.erase(0, size);
  };
  if (buffer_.empty()) return false;
  if (const std::string* mark = starting_mark(buffer_, call_marks_)) {
    if (!is_last_ && may_become(buffer_, call_marks_)) return false;
    if (is_one_of(*mark, dialect_->calls.open_marks)) {
      is_opened_ = true;
    } else if (has_called_) {
      is_opened_ = false;
    }
    read(mark->size());
    return true;
  }
  if (may_become(buffer_, call_marks_) && (!is_last_ || is_cut_)) return false;
  const char byte = buffer_.front();
  if (byte == '{') {
    needs_known_name_ = !is_opened_;
    body_.emplace(false);
    state_ = State::kBody;
  } else if (kFiller.contains(byte)) {
    read(1);
  } else if (dialect_->calls.body == CallSyntax::Body::kNamed && is_opened_) {
    state_ = State::kHeader;
  } else {
    give_up_call(events);
  }
  return true;
}

/// What was read as the beginning of a call is text.
void OutputParser::give_up_call(Events& events) {
  state_ = State::kText;
  if (has_called_) {
    is_trimming_ = true;
    raw_.clear();
  }
  add_text(std::exchange(raw_, {}), events);
  body_.reset();
}

bool OutputParser::read_header(Events& events) {
  const std::size_t brace = buffer_.find('{');
  if (brace == std::string::npos && buffer_.size() <= kHeaderMax) return false;
  const std::string name(
      name_in_header(std::string_view(buffer_).substr(0, std::min(brace, kHeaderMax))));
  if (brace == std::string::npos || brace > kHeaderMax || !is_name(name)) {
    give_up_call(events);
    return true;
  }
  buffer_.erase(0, brace);
  raw_.clear();
  needs_known_name_ = false;
  body_.emplace(true);
  events.emplace_back(ParsedCall{.name = name});
  state_ = State::kBody;
  return true;
}

bool OutputParser::read_body(Events& events) {
  CallPiece piece;
  const std::size_t taken = body_->push(buffer_, piece);
  const bool is_named = piece.name.has_value();
  if (is_named || !body_->has_name()) raw_ += std::string_view(buffer_).substr(0, taken);
  buffer_.erase(0, taken);
  const bool is_wrong =
      is_named && (!is_name(*piece.name) || (needs_known_name_ && !is_known(*piece.name)));
  const bool is_over = body_->status() != CallBody::Status::kOpen;
  if (is_wrong || (is_over && !body_->has_name())) {
    const bool is_behind_call = has_called_;
    give_up_call(events);
    if (is_behind_call) state_ = State::kSkip;
    return true;
  }
  if (is_named) raw_.clear();
  add_piece(std::move(piece), events);
  if (!is_over) return is_named;
  const bool is_broken = body_->status() == CallBody::Status::kBroken;
  CallPiece closing;
  body_->close(closing);
  add_piece(std::move(closing), events);
  events.emplace_back(ParsedCallEnd{.is_whole = body_->is_whole() && !is_broken});
  body_.reset();
  has_called_ = true;
  if (dialect_->calls.body == CallSyntax::Body::kNamed) is_opened_ = false;
  state_ = is_broken ? State::kSkip : State::kBetween;
  return true;
}

/// Rubbish is not shown, up to a mark.
bool OutputParser::skip() {
  const Found found = find_first(buffer_, call_marks_);
  if (found.mark.empty()) {
    buffer_.erase(0, buffer_.size() - open_end(buffer_, call_marks_));
    return false;
  }
  buffer_.erase(0, found.at);
  state_ = State::kBetween;
  return true;
}

void OutputParser::add_text(std::string_view text, Events& events) {
  if (is_trimming_) {
    const std::size_t begin = text.find_first_not_of(kSpace);
    text.remove_prefix(begin == std::string_view::npos ? text.size() : begin);
  }
  if (text.empty()) return;
  is_trimming_ = false;
  events.emplace_back(ParsedText{.text = std::string(text)});
}

void OutputParser::add_piece(CallPiece piece, Events& events) {
  if (piece.name) events.emplace_back(ParsedCall{.name = *std::move(piece.name)});
  if (!piece.input.empty()) events.emplace_back(ParsedInput{.json = std::move(piece.input)});
}

bool OutputParser::is_known(std::string_view name) const {
  return std::ranges::find(options_.tool_names, name) != options_.tool_names.end();
}

}  // namespace onnxlocal
