#include "cli/run_arguments.h"

#include <fmt/format.h>

namespace onnxlocal {

namespace {

constexpr std::string_view kSpace = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

bool is_blank(const std::string& text) { return trimmed(text).empty(); }

}  // namespace

Result<RunPlan> plan_run(const RunInput& input,
                         const std::function<bool(const std::string&)>& is_model) {
  RunPlan plan;
  std::vector<std::string> rest = input.positionals;
  if (input.model_flag) {
    plan.model = *input.model_flag;
    if (rest.size() > 1) {
      return std::unexpected(invalid_request(
          fmt::format("--model names the model, and \"{}\" and \"{}\" are left", rest[0], rest[1]),
          "Put the prompt into quotes."));
    }
  } else if (rest.size() == 2 || (rest.size() == 1 && is_model(rest[0]))) {
    plan.model = rest.front();
    rest.erase(rest.begin());
  }
  if (!rest.empty()) plan.prompt = rest.front();
  if (input.piped && !is_blank(*input.piped)) {
    // A shell's `echo` ends with a line break that nobody meant to say.
    std::string piped = *input.piped;
    if (piped.ends_with('\n')) piped.pop_back();
    if (piped.ends_with('\r')) piped.pop_back();
    plan.prompt = plan.prompt ? *plan.prompt + "\n\n" + piped : piped;
  }
  if (plan.prompt && is_blank(*plan.prompt)) {
    return std::unexpected(invalid_request("the prompt is empty"));
  }
  if (!plan.prompt && input.piped) {
    return std::unexpected(
        invalid_request("there is no prompt: standard input is empty, and a chat needs a terminal",
                        "Give a prompt: onnx-local run \"Hello\"."));
  }
  if (!plan.prompt && input.is_json) {
    return std::unexpected(invalid_request("--json needs a prompt"));
  }
  return plan;
}

ChatLine parse_chat_line(std::string_view line) {
  const std::string_view text = trimmed(line);
  if (text.empty()) return ChatCommand::kNothing;
  if (!text.starts_with('/')) return ChatSay{std::string(text)};
  const auto space = text.find_first_of(kSpace);
  const std::string_view command = text.substr(0, space);
  if (command == "/help" || command == "/?") return ChatCommand::kHelp;
  if (command == "/clear") return ChatCommand::kClear;
  if (command == "/stats") return ChatCommand::kStats;
  if (command == "/exit" || command == "/quit" || command == "/bye") return ChatCommand::kExit;
  if (command == "/system") {
    const bool is_alone = space == std::string_view::npos;
    return ChatSystem{is_alone ? std::string() : std::string(trimmed(text.substr(space)))};
  }
  return ChatUnknown{std::string(command)};
}

}  // namespace onnxlocal
