#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/interrupt.h"
#include "cli/program.h"
#include "cli/progress.h"

namespace onnxlocal {

namespace {

struct ImportFlags {
  std::string file;
  std::string name;
};

Result<ExitCode> run_import(const ImportFlags& flags, bool is_json, const CommandContext& context) {
  const Interrupts interrupts;
  ProgressBar bar;
  TRY(const StoredModel model,
      context.store.import(flags.file, flags.name, interrupts.stop_token(), bar.sink()));
  bar.clear();
  if (is_json) {
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
  line.add_json(*command);
  command->footer(
      "The weights keep their exact values. The model is there whole or not at all; an earlier "
      "one\n"
      "of the same name is replaced.\n\n"
      "Example:\n"
      "  onnx-local import SmolLM2-135M-Instruct.Q4_1.gguf --name smollm2-135m-instruct");
  command->callback([flags, &line] {
    line.command = [flags, &line](CommandContext& context) {
      return run_import(*flags, line.is_json, context);
    };
  });
}

}  // namespace onnxlocal
