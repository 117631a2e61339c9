#include "provider/reply_reader.h"

#include <cstddef>
#include <random>
#include <utility>

namespace onnxlocal {

std::string make_tool_use_id() {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  constexpr int kDigits = 24;
  std::random_device device;
  std::uniform_int_distribution<std::size_t> digit(0, kAlphabet.size() - 1);
  std::string id = "toolu_";
  for (int i = 0; i < kDigits; ++i) id += kAlphabet[digit(device)];
  return id;
}

ReplyReader::ReplyReader(std::shared_ptr<const Dialect> dialect, Options options)
    : parser_(std::move(dialect), std::move(options.parser)),
      shows_thinking_(options.shows_thinking) {}

void ReplyReader::push(std::string_view text, std::vector<TokenReport> reports,
                       std::vector<ReplyEvent>& events) {
  const bool was_thinking = parser_.is_thinking();
  const auto tokens = static_cast<std::uint32_t>(reports.size());
  parser_.push(text, parsed_);
  if (was_thinking || parser_.is_thinking()) {
    thinking_tokens_ += tokens;
    reports_.clear();
  } else if (!parser_.is_calling()) {
    reports_.insert(reports_.end(), std::make_move_iterator(reports.begin()),
                    std::make_move_iterator(reports.end()));
  }
  translate(events);
}

void ReplyReader::finish(std::vector<ReplyEvent>& events, bool is_cut) {
  parser_.finish(parsed_, is_cut);
  translate(events);
}

void ReplyReader::translate(std::vector<ReplyEvent>& events) {
  for (ParsedEvent& event : parsed_) {
    if (auto* text = std::get_if<ParsedText>(&event)) {
      add_text(std::move(text->text), events);
    } else if (auto* thinking = std::get_if<ParsedThinking>(&event)) {
      if (!shows_thinking_) continue;
      auto* last =
          message_.content.empty() ? nullptr : std::get_if<ThinkingBlock>(&message_.content.back());
      if (last == nullptr) {
        message_.content.emplace_back(ThinkingBlock{});
        last = &std::get<ThinkingBlock>(message_.content.back());
      }
      last->text += thinking->text;
      events.emplace_back(ThinkingDelta{.text = std::move(thinking->text)});
    } else if (auto* call = std::get_if<ParsedCall>(&event)) {
      ToolUseBlock block{.id = make_tool_use_id(), .name = std::move(call->name), .input = {}};
      events.emplace_back(ToolUseStarted{.id = block.id, .name = block.name});
      message_.content.emplace_back(std::move(block));
      is_in_input_ = true;
      ++calls_;
    } else if (auto* input = std::get_if<ParsedInput>(&event)) {
      std::get<ToolUseBlock>(message_.content.back()).input += input->json;
      events.emplace_back(ToolInputDelta{.json = std::move(input->json)});
    } else {
      is_in_input_ = false;
      const bool is_whole = std::get<ParsedCallEnd>(event).is_whole;
      if (!is_whole) ++closed_calls_;
      events.emplace_back(ToolInputEnded{.call = std::get<ToolUseBlock>(message_.content.back()),
                                         .is_whole = is_whole});
    }
  }
  parsed_.clear();
}

void ReplyReader::add_text(std::string text, std::vector<ReplyEvent>& events) {
  auto* last =
      message_.content.empty() ? nullptr : std::get_if<TextBlock>(&message_.content.back());
  if (last == nullptr) {
    message_.content.emplace_back(TextBlock{});
    last = &std::get<TextBlock>(message_.content.back());
  }
  last->text += text;
  events.emplace_back(
      GenerationDelta{.text = std::move(text), .tokens = std::exchange(reports_, {})});
}

}  // namespace onnxlocal
