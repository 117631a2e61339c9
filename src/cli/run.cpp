#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>

#include "base/utf8.h"
#include "cli/answer.h"
#include "cli/chat.h"
#include "cli/interrupt.h"
#include "cli/program.h"
#include "cli/progress.h"
#include "cli/run_arguments.h"
#include "cli/terminal.h"
#include "generation/stop_reason_name.h"
#include "provider/local.h"
#include "store/model_name.h"

namespace onnxlocal {

namespace {

/// A prompt of a few million tokens is a mistake.
constexpr std::size_t kPipedBytesMax = std::size_t{16} << 20;

struct RunFlags {
  std::vector<std::string> positionals;
  std::string system;
  std::uint32_t tokens_max = 1024;
  std::optional<float> temperature;
  std::optional<float> top_p;
  std::optional<std::uint32_t> top_k;
  std::optional<std::uint64_t> seed;
  std::vector<std::string> stop_strings;
};

bool is_model(const ModelStore& store, const std::string& text) {
  std::error_code ignored;
  const std::filesystem::path path(text);
  const std::string name(without_prefix(text));
  if (is_model_name(name) && std::filesystem::is_directory(store.paths().models / name, ignored)) {
    return true;
  }
  if (path.extension() == ".gguf" || path.extension() == ".onnx") {
    return std::filesystem::is_regular_file(path, ignored);
  }
  return std::filesystem::is_regular_file(path / "genai_config.json", ignored);
}

GenerationRequest base_request(const RunFlags& flags) {
  GenerationRequest request;
  request.sampling.temperature = flags.temperature;
  request.sampling.top_p = flags.top_p;
  request.sampling.top_k = flags.top_k;
  request.sampling.seed = flags.seed;
  request.tokens_max = flags.tokens_max;
  request.stop_strings = flags.stop_strings;
  return request;
}

json::object to_json_object(const Answer& answer, const std::string& model) {
  return {{"model", model},
          {"text", answer.text},
          {"stop_reason", to_string(answer.reason)},
          {"usage",
           {{"prompt_tokens", answer.usage.prompt_tokens()},
            {"cache_read_tokens", answer.usage.cache_read_tokens},
            {"output_tokens", answer.usage.output_tokens}}},
          {"first_token_ms", answer.first_token_s * 1e3},
          {"total_ms", answer.total_s * 1e3},
          {"decode_tokens_per_s", answer.decode_tokens_per_s()}};
}

/// Loading cannot be told to stop while it is in ONNX Runtime: this looks up in between.
Result<void> wait_until_loaded(const LocalProvider& provider, const std::stop_token& stop) {
  constexpr std::chrono::milliseconds kInterval{100};
  for (;;) {
    auto loaded = provider.wait_until_loaded(Deadline::after(kInterval));
    if (loaded || loaded.error().code != ErrorCode::kTimeout) return loaded;
    if (stop.stop_requested()) return std::unexpected(cancelled());
  }
}

Result<ExitCode> answer_once(Provider& provider, GenerationRequest request, const RunFlags& flags,
                             const std::string& prompt, const std::string& model, bool is_json,
                             Interrupts& interrupts) {
  if (!flags.system.empty()) {
    request.messages.push_back({Role::kSystem, {TextBlock{to_valid_utf8(flags.system)}}});
  }
  request.messages.push_back({Role::kUser, {TextBlock{to_valid_utf8(prompt)}}});
  const bool is_for_terminal = is_terminal(stdout);
  TRY(const Answer answer,
      generate_answer(provider, request, interrupts, [&](std::string_view piece) {
        if (is_json) return;
        fmt::print("{}", is_for_terminal ? without_control_characters(piece) : std::string(piece));
        std::fflush(stdout);
      }));
  if (is_json && !answer.was_interrupted) {
    print_json(to_json_object(answer, model));
  } else if (!is_json) {
    fmt::print("\n");
  }
  return answer.was_interrupted ? ExitCode::kInterrupted : ExitCode::kOk;
}

Result<ExitCode> run_run(const RunFlags& flags, const std::optional<std::string>& model_flag,
                         bool is_json, const CommandContext& context) {
  Interrupts interrupts;
  RunInput input{.positionals = flags.positionals, .model_flag = model_flag, .is_json = is_json};
  if (!is_terminal(stdin)) {
    TRY(input.piped, read_standard_input(kPipedBytesMax, interrupts));
  }
  TRY(const RunPlan plan,
      plan_run(input, [&](const std::string& text) { return is_model(context.store, text); }));
  ProgressBar bar;
  const std::string& wanted = plan.model.empty() ? context.settings.model : plan.model;
  TRY(const ModelFolder folder, context.store.resolve(wanted, interrupts.stop_token(), bar.sink()));
  bar.sink()("loading " + folder.name, 0, 0);
  TRY(EngineSetUp set_up, engine_set_up(context, interrupts.stop_token(), bar.sink()));
  const auto provider =
      LocalProvider::load(folder, runtime_options(context), std::move(set_up.engine),
                          std::move(set_up.draft), bar.sink());
  TRY_VOID(wait_until_loaded(*provider, interrupts.stop_token()));
  bar.clear();
  if (plan.prompt) {
    return answer_once(*provider, base_request(flags), flags, *plan.prompt, folder.name, is_json,
                       interrupts);
  }
  fmt::print("{}: /help lists commands, Ctrl-D leaves.\n", folder.name);
  return run_chat(*provider, base_request(flags), to_valid_utf8(flags.system), interrupts);
}

}  // namespace

void add_run(CLI::App& app, CommandLine& line) {
  CLI::App* command = app.add_subcommand("run", "Answer one prompt, or chat");
  const auto flags = std::make_shared<RunFlags>();
  command
      ->add_option("[MODEL] [PROMPT]", flags->positionals,
                   "One that names a model is the model, else it is the prompt; without a "
                   "prompt (and nothing piped in) a chat begins")
      ->expected(0, 2);
  line.add_setting(*command, "model", "The model: a name, a folder or a file");
  line.add_setting(*command, "speculation", "Guess tokens ahead: off, prompt-lookup or draft");
  command->add_option("--system", flags->system, "System prompt");
  command->add_option("--max-tokens", flags->tokens_max, "Longest answer")
      ->check(CLI::Range(1U, 1U << 24U))
      ->capture_default_str();
  command->add_option("--temperature", flags->temperature, "0 takes the most likely token")
      ->check(CLI::Range(0.0, 2.0));
  command->add_option("--top-p", flags->top_p, "Keep the most likely tokens up to this share")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--top-k", flags->top_k, "Keep the k most likely tokens; 0 keeps all");
  command->add_option("--seed", flags->seed, "The same seed gives the same answer");
  command->add_option("--stop", flags->stop_strings, "Stop at this text (may be repeated)")
      ->allow_extra_args(false);
  line.add_json(*command);
  command->footer(
      "Standard input, where it is no terminal, is the prompt or follows it. In a chat Ctrl-C "
      "stops\n"
      "the answer, and /help lists the commands.\n\n"
      "Examples:\n"
      "  onnx-local run \"Name the capital of France.\"\n"
      "  onnx-local run smollm2-135m-instruct --temperature 0 --json \"Hello\"\n"
      "  echo \"Rain fell all day.\" | onnx-local run --max-tokens 50 \"Say this in other "
      "words:\"");
  command->callback([flags, &line] {
    line.command = [flags, &line](CommandContext& context) {
      return run_run(*flags, line.flags["model"], line.is_json, context);
    };
  });
}

}  // namespace onnxlocal
