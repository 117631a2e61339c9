#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "cli/interrupt.h"
#include "cli/program.h"
#include "cli/progress.h"

namespace onnxlocal {

namespace {

struct ImportFlags {
  std::string file;
  std::string name;
  std::string rope_scaling;
};

/// What `--context` and `--rope-scaling` say. A window in the settings file is for serving: here
/// only the flag counts.
Result<std::optional<ContextChoice>> context_choice(const ImportFlags& flags, bool has_context,
                                                    const CommandContext& context) {
  if (!has_context && flags.rope_scaling.empty()) return std::nullopt;
  if (!has_context) {
    return std::unexpected(
        invalid_request("--rope-scaling needs the window to stretch to", "Add --context TOKENS."));
  }
  ContextChoice choice{.tokens = context.settings.runtime.context_tokens};
  if (!flags.rope_scaling.empty()) {
    TRY(choice.scaling, parse_rope_scaling(flags.rope_scaling));
  }
  return choice;
}

Result<ExitCode> run_import(const ImportFlags& flags, const CommandLine& line,
                            const CommandContext& context) {
  const bool has_context = line.flags.at("context").has_value();
  TRY(const auto choice, context_choice(flags, has_context, context));
  const Interrupts interrupts;
  ProgressBar bar;
  TRY(const StoredModel model,
      context.store.import(flags.file, {.name = flags.name, .context = choice},
                           interrupts.stop_token(), bar.sink()));
  bar.clear();
  if (line.is_json) {
    print_json(json::object{{"name", model.name},
                            {"path", model.path.string()},
                            {"size_bytes", model.size_bytes},
                            {"quantization", model.manifest.quantization},
                            {"problem", model.problem}});
  } else {
    fmt::print("{} is here ({}, {}).\nTry it: onnx-local run {} \"Hello\"\n", model.name,
               model.manifest.quantization, human_bytes(model.size_bytes), model.name);
  }
  return ExitCode::kOk;
}

}  // namespace

void add_import(CLI::App& app, CommandLine& line) {
  CLI::App* command = app.add_subcommand("import", "Make a model from a GGUF file");
  const auto flags = std::make_shared<ImportFlags>();
  command->add_option("FILE", flags->file, "A .gguf file")->required();
  command->add_option("--name", flags->name, "The model's name; else the file's, in lower case");
  command->add_option("--rope-scaling", flags->rope_scaling,
                      "How --context goes beyond the trained window: yarn, linear or none");
  line.add_json(*command);
  command->footer(
      "The weights keep their exact values. The model is there whole or not at all; an earlier "
      "one\n"
      "of the same name is replaced. --context N gives it another window; beyond the one it was\n"
      "trained with its positions are scaled, and the model is kept as NAME-32k.\n\n"
      "Example:\n"
      "  onnx-local import SmolLM2-135M-Instruct.Q4_1.gguf --name smollm2-135m-instruct");
  command->callback([flags, &line] {
    line.command = [flags, &line](CommandContext& context) {
      return run_import(*flags, line, context);
    };
  });
}

}  // namespace onnxlocal
