#include "cli/chat.h"

#include <cstdio>

#include <fmt/format.h>

#include "base/utf8.h"
#include "cli/answer.h"
#include "cli/run_arguments.h"
#include "cli/terminal.h"

namespace onnxlocal {

namespace {

constexpr const char* kHelp =
    "/clear          forget what was said\n"
    "/system [TEXT]  set the system prompt (and forget what was said), or show it\n"
    "/stats          tokens and speed of the last answer\n"
    "/exit           leave (Ctrl-D too)\n"
    "Ctrl-C stops an answer; at the prompt, a second one leaves.\n";

void say(std::string_view text) {
  fmt::print("{}", text);
  std::fflush(stdout);
}

class Chat {
 public:
  Chat(Provider& provider, GenerationRequest base, std::string system, Interrupts& interrupts)
      : provider_(provider),
        base_(std::move(base)),
        system_(std::move(system)),
        interrupts_(interrupts) {}

  Result<ExitCode> run() {
    for (;;) {
      say(">>> ");
      const auto line = reader_.read_line(interrupts_);
      if (!line) {
        if (auto end = leave(line.error())) return *end;
        continue;
      }
      was_interrupted_ = false;
      if (obey(parse_chat_line(to_valid_utf8(*line)))) return ExitCode::kOk;
      if (interrupts_.stop_token().stop_requested()) return ExitCode::kInterrupted;
    }
  }

 private:
  /// Empty where the first Ctrl-C at the prompt asks for a second one.
  std::optional<ExitCode> leave(LineReader::End end) {
    say("\n");
    if (end == LineReader::End::kEndOfInput) return ExitCode::kOk;
    if (interrupts_.stop_token().stop_requested() || was_interrupted_) {
      return ExitCode::kInterrupted;
    }
    was_interrupted_ = true;
    say("(Ctrl-C again or Ctrl-D leaves, /help helps)\n");
    return std::nullopt;
  }

  /// True where the user leaves.
  bool obey(const ChatLine& line) {
    if (const auto* said = std::get_if<ChatSay>(&line)) {
      answer(said->text);
    } else if (const auto* system = std::get_if<ChatSystem>(&line)) {
      set_system(system->text);
    } else if (const auto* unknown = std::get_if<ChatUnknown>(&line)) {
      say(fmt::format("There is no {}. /help lists what there is.\n",
                      without_control_characters(unknown->command)));
    } else {
      return obey_command(std::get<ChatCommand>(line));
    }
    return false;
  }

  bool obey_command(ChatCommand command) {
    switch (command) {
      case ChatCommand::kNothing: return false;
      case ChatCommand::kHelp: say(kHelp); return false;
      case ChatCommand::kStats: show_stats(); return false;
      case ChatCommand::kExit: return true;
      case ChatCommand::kClear:
        history_.clear();
        say("(a new conversation)\n");
        return false;
    }
    return false;
  }

  void set_system(const std::string& text) {
    if (text.empty()) {
      say(system_.empty() ? "(no system prompt)\n" : system_ + "\n");
      return;
    }
    system_ = text;
    history_.clear();
    say("(a new conversation with this system prompt)\n");
  }

  void answer(const std::string& text) {
    history_.push_back({Role::kUser, {TextBlock{text}}});
    GenerationRequest request = base_;
    if (!system_.empty()) request.messages.push_back({Role::kSystem, {TextBlock{system_}}});
    request.messages.insert(request.messages.end(), history_.begin(), history_.end());
    auto result = generate_answer(provider_, request, interrupts_, [](std::string_view piece) {
      say(without_control_characters(piece));
    });
    if (!result) {
      history_.pop_back();
      say("\n");
      print_error(result.error(), /*as_json=*/false);
      if (result.error().code == ErrorCode::kPromptTooLong) say("(/clear makes room)\n");
      return;
    }
    say(result->was_interrupted ? "\n(stopped)\n" : "\n");
    if (result->reason == StopReason::kTokensMax && !result->was_interrupted) {
      say("(cut at the limit: --max-tokens)\n");
    }
    if (result->text.empty()) {
      history_.pop_back();
    } else {
      history_.push_back({Role::kAssistant, {TextBlock{result->text}}});
    }
    last_ = *std::move(result);
  }

  void show_stats() {
    if (!last_) {
      say("(no answer yet)\n");
      return;
    }
    const Usage& usage = last_->usage;
    say(
        fmt::format("prompt {} tokens ({} from the cache), answer {} tokens\n"
                    "first text after {:.0f} ms, then {:.1f} tokens/s, {:.1f} s in all\n",
                    usage.prompt_tokens(), usage.cache_read_tokens, usage.output_tokens,
                    last_->first_token_s * 1e3, last_->decode_tokens_per_s(), last_->total_s));
  }

  Provider& provider_;
  const GenerationRequest base_;
  std::string system_;
  Interrupts& interrupts_;
  LineReader reader_;
  std::vector<Message> history_;  ///< User and assistant in turn.
  std::optional<Answer> last_;
  bool was_interrupted_ = false;  ///< The last line was a Ctrl-C.
};

}  // namespace

Result<ExitCode> run_chat(Provider& provider, GenerationRequest base, std::string system,
                          Interrupts& interrupts) {
  return Chat(provider, std::move(base), std::move(system), interrupts).run();
}

}  // namespace onnxlocal
