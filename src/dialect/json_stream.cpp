#include "dialect/json_stream.h"

#include <charconv>
#include <cstdint>

#include <fmt/format.h>

namespace onnxlocal {
namespace {

bool is_space(char byte) { return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t'; }
bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }
bool is_hex(char byte) {
  return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}
bool is_scalar_byte(char byte) {
  return is_digit(byte) || (byte >= 'a' && byte <= 'z') || byte == '-' || byte == '+' ||
         byte == '.' || byte == 'E';
}

std::string_view skip_digits(std::string_view text) {
  while (!text.empty() && is_digit(text.front())) text.remove_prefix(1);
  return text;
}

bool is_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  if (text.empty() || !is_digit(text.front())) return false;
  text = text.front() == '0' ? text.substr(1) : skip_digits(text);
  if (text.starts_with('.')) {
    const std::string_view rest = skip_digits(text.substr(1));
    if (rest.size() == text.size() - 1) return false;
    text = rest;
  }
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
    if (text.empty()) return false;
    text = skip_digits(text);
  }
  return text.empty();
}

bool is_scalar(std::string_view text) {
  return text == "true" || text == "false" || text == "null" || is_number(text);
}

std::uint32_t code_unit(std::string_view escape) {
  std::uint32_t unit = 0;
  std::from_chars(escape.data() + 2, escape.data() + 6, unit, 16);
  return unit;
}
bool is_high_surrogate(std::uint32_t unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool is_low_surrogate(std::uint32_t unit) { return unit >= 0xDC00 && unit < 0xE000; }

}  // namespace

std::size_t JsonStream::push(std::string_view text, std::string& out) {
  std::size_t taken = 0;
  while (taken < text.size() && status_ == Status::kOpen) {
    if (!take(text[taken], out)) break;
    ++taken;
    if (held_.size() > kHeldBytesMax) break_off();
  }
  return taken;
}

void JsonStream::close(std::string& out) {
  if (status_ == Status::kDone) return;
  status_ = Status::kDone;
  if (!has_begun_) {
    out += "{}";
    return;
  }
  if (state_ == State::kInString) out += '"';
  for (; !open_.empty(); open_.pop_back()) out += open_.back() == '{' ? '}' : ']';
}

void JsonStream::emit(char byte, std::string& out) {
  out += held_;
  held_.clear();
  out += byte;
  has_begun_ = true;
}

bool JsonStream::take(char byte, std::string& out) {
  if (state_ == State::kInString || state_ == State::kInKey) {
    take_in_string(byte, out);
    return true;
  }
  if (state_ == State::kScalar) {
    if (is_scalar_byte(byte)) {
      held_ += byte;
      return true;
    }
    end_scalar(out);
    return status_ == Status::kOpen && take(byte, out);
  }
  if (is_space(byte)) {
    if (has_begun_) held_ += byte;
    return true;
  }
  switch (state_) {
    case State::kValueOrEnd:
    case State::kValue:
      if (byte == ']' && state_ == State::kValueOrEnd) {
        end_container(byte, out);
      } else {
        begin_value(byte, out);
      }
      return true;
    case State::kKeyOrEnd:
    case State::kKey:
      if (byte == '"') {
        held_ += byte;
        state_ = State::kInKey;
      } else if (byte == '}' && state_ == State::kKeyOrEnd) {
        end_container(byte, out);
      } else {
        break_off();
      }
      return true;
    case State::kColon:
      if (byte != ':') {
        break_off();
        return true;
      }
      held_ += byte;
      state_ = State::kValue;
      return true;
    case State::kAfterValue:
      if (byte == ',') {
        held_ += byte;
        state_ = open_.back() == '{' ? State::kKey : State::kValue;
      } else if (byte == (open_.back() == '{' ? '}' : ']')) {
        end_container(byte, out);
      } else {
        break_off();
      }
      return true;
    case State::kInKey:
    case State::kInString:
    case State::kScalar: break;
  }
  return true;
}

void JsonStream::begin_value(char byte, std::string& out) {
  if (byte == '{' || byte == '[') {
    if (open_.size() == kDepthMax) return break_off();
    emit(byte, out);
    open_.push_back(byte);
    state_ = byte == '{' ? State::kKeyOrEnd : State::kValueOrEnd;
  } else if (byte == '"') {
    emit(byte, out);
    state_ = State::kInString;
  } else if (is_scalar_byte(byte)) {
    held_ += byte;
    state_ = State::kScalar;
  } else {
    break_off();
  }
}

void JsonStream::end_scalar(std::string& out) {
  // White space and a comma may stand in front of it.
  const std::size_t begin = held_.find_last_of(" \n\r\t,:[") + 1;
  if (!is_scalar(std::string_view(held_).substr(begin))) return break_off();
  out += held_;
  held_.clear();
  has_begun_ = true;
  end_value();
}

void JsonStream::end_container(char byte, std::string& out) {
  emit(byte, out);
  open_.pop_back();
  end_value();
}

void JsonStream::end_value() {
  state_ = State::kAfterValue;
  if (open_.empty()) status_ = Status::kDone;
}

void JsonStream::take_in_string(char byte, std::string& out) {
  std::string& to = state_ == State::kInKey ? held_ : out;
  if (!escape_.empty() && take_escape(byte, to)) return;
  if (byte == '\\') {
    escape_ = byte;
  } else if (byte == '"') {
    to += byte;
    if (state_ == State::kInKey) {
      state_ = State::kColon;
    } else {
      end_value();
    }
  } else if (static_cast<unsigned char>(byte) < 0x20) {
    to += byte == '\n'   ? std::string("\\n")
          : byte == '\t' ? std::string("\\t")
                         : fmt::format("\\u{:04x}", static_cast<unsigned>(byte));
  } else {
    to += byte;
  }
}

/// False where the escape ended before this byte.
bool JsonStream::take_escape(char byte, std::string& to) {
  constexpr std::size_t kUnit = 6;  // \uXXXX
  constexpr std::string_view kReplacement = "\\ufffd";
  const std::size_t size = escape_.size();
  if (size == kUnit) {  // A high surrogate, which needs its other half.
    if (byte == '\\') {
      escape_ += byte;
      return true;
    }
    to += kReplacement;
    escape_.clear();
    return false;
  }
  if (size == kUnit + 1 && byte != 'u') {
    to += kReplacement;
    escape_ = '\\';
    return take_escape(byte, to);
  }
  escape_ += byte;
  if (size == 1) {
    if (byte == 'u') return true;
    constexpr std::string_view kShort = "\"\\/bfnrt";
    if (!kShort.contains(byte)) {
      break_off();
      return true;
    }
    to += escape_;
    escape_.clear();
    return true;
  }
  if (size == kUnit + 1) return true;
  if (!is_hex(byte)) {
    break_off();
    return true;
  }
  if (escape_.size() == kUnit) {
    const std::uint32_t unit = code_unit(escape_);
    if (is_high_surrogate(unit)) return true;
    to += is_low_surrogate(unit) ? std::string(kReplacement) : escape_;
    escape_.clear();
  } else if (escape_.size() == 2 * kUnit) {
    const std::string second = escape_.substr(kUnit);
    if (is_low_surrogate(code_unit(second))) {
      to += escape_;
      escape_.clear();
    } else {
      to += kReplacement;
      if (is_high_surrogate(code_unit(second))) {
        escape_ = second;
      } else {
        to += second;
        escape_.clear();
      }
    }
  }
  return true;
}

}  // namespace onnxlocal
