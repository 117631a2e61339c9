#include "dialect/call_body.h"

#include <utility>

#include "base/json.h"

namespace onnxlocal {
namespace {

std::optional<std::string> unquoted(std::string_view text) {
  const auto value = json::parse(text);
  if (!value || !value->is_string()) return std::nullopt;
  return std::string(value->as_string());
}

}  // namespace

std::size_t CallBody::push(std::string_view text, CallPiece& piece) {
  std::size_t taken = 0;
  while (taken < text.size() && status_ == Status::kOpen && !piece.name) {
    taken += take(text.substr(taken), piece);
  }
  return taken;
}

/// Takes at least one byte, or changes the state.
std::size_t CallBody::take(std::string_view text, CallPiece& piece) {
  if (state_ == State::kInKey || state_ == State::kValue) {
    std::string part;
    const std::size_t taken = stream_.push(text, part);
    take_value_part(part, piece);
    if (stream_.status() == JsonStream::Status::kBroken) status_ = Status::kBroken;
    if (stream_.status() != JsonStream::Status::kDone) return taken;
    if (state_ == State::kInKey) {
      take_key();
    } else {
      end_value(piece);
    }
    return taken;
  }
  const char byte = text.front();
  if (byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t') return 1;
  if (state_ == State::kBrace && byte == '{') {
    state_ = State::kKeyOrEnd;
  } else if ((state_ == State::kKeyOrEnd || state_ == State::kKey) && byte == '"') {
    state_ = State::kInKey;
    value_kind_ = ValueKind::kOther;
    stream_ = {};
    text_.clear();
    return 0;
  } else if (state_ == State::kColon && byte == ':') {
    state_ = State::kValue;
    stream_ = {};
    text_.clear();
  } else if (state_ == State::kAfterValue && byte == ',') {
    state_ = State::kKey;
  } else if ((state_ == State::kAfterValue || state_ == State::kKeyOrEnd) && byte == '}') {
    finish(piece);
  } else {
    status_ = Status::kBroken;
  }
  return 1;
}

void CallBody::take_key() {
  state_ = State::kColon;
  const auto key = unquoted(text_);
  if (!key) {
    status_ = Status::kBroken;
  } else if ((*key == "name" || *key == "function") && !has_name_) {
    value_kind_ = ValueKind::kName;
  } else if ((*key == "arguments" || *key == "parameters") && !has_input_) {
    value_kind_ = ValueKind::kInput;
  } else {
    value_kind_ = ValueKind::kOther;
  }
}

void CallBody::take_value_part(std::string_view part, CallPiece& piece) {
  if (part.empty()) return;
  if (state_ == State::kInKey || value_kind_ == ValueKind::kName) {
    text_ += part;
  } else if (value_kind_ == ValueKind::kInput) {
    if (!has_input_) is_object_ = part.front() == '{';
    has_input_ = true;
    if (is_object_) {
      give(part, piece);
    } else {
      text_ += part;
    }
  }
}

void CallBody::end_value(CallPiece& piece) {
  state_ = State::kAfterValue;
  if (value_kind_ == ValueKind::kName) {
    auto name = unquoted(text_);
    // `"function": {...}` is how others wrap it; nothing of ours.
    if (!name) return;
    has_name_ = true;
    piece.name = *std::move(name);
    piece.input += std::exchange(early_, {});
  } else if (value_kind_ == ValueKind::kInput) {
    if (!is_object_) unpack_input(piece);
    is_whole_ = is_whole_ || is_object_;
    is_over_ = true;
    if (is_named_) finish(piece);
  }
}

void CallBody::unpack_input(CallPiece& piece) {
  const auto packed = text_ == "null" ? std::string("{}") : unquoted(text_);
  JsonStream stream;
  std::string input;
  if (packed) stream.push(*packed, input);
  is_whole_ = stream.status() == JsonStream::Status::kDone && input.starts_with('{');
  give(is_whole_ ? input : "{}", piece);
}

void CallBody::give(std::string_view input, CallPiece& piece) {
  (has_name_ ? piece.input : early_) += input;
}

void CallBody::finish(CallPiece& piece) {
  status_ = has_name_ ? Status::kDone : Status::kBroken;
  if (has_input_ || !has_name_) return;
  is_whole_ = true;
  is_over_ = true;
  piece.input += "{}";
}

void CallBody::close(CallPiece& piece) {
  if (status_ == Status::kDone) return;
  status_ = Status::kDone;
  if (is_over_) return;
  if (has_input_ && is_object_) {
    stream_.close(piece.input);
  } else {
    piece.input += "{}";
  }
}

}  // namespace onnxlocal
