#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/program.h"
#include "model/embedding_folder.h"

namespace onnxlocal {

namespace {

json::object to_json_object(const StoredModel& model, bool is_default) {
  return {{"name", model.name},
          {"path", model.path.string()},
          {"size_bytes", model.size_bytes},
          {"quantization", model.manifest.quantization},
          {"licence", model.manifest.licence},
          {"kind", holds_embedding_model(model.path) ? "embedding" : "text"},
          {"default", is_default},
          {"problem", model.problem}};
}

Result<ExitCode> run_list(bool is_json, const CommandContext& context) {
  const auto models = context.store.list();
  const auto chosen = context.store.default_model();
  const auto is_default = [&](const StoredModel& model) { return chosen && *chosen == model.name; };
  if (is_json) {
    json::array list;
    for (const StoredModel& model : models)
      list.push_back(to_json_object(model, is_default(model)));
    print_json(json::object{{"models", std::move(list)}});
    return ExitCode::kOk;
  }
  if (models.empty()) {
    fmt::print("No models in {}.\nImport one: onnx-local import MODEL.gguf\n",
               context.store.paths().models.string());
    return ExitCode::kOk;
  }
  std::vector<std::vector<std::string>> rows = {{"NAME", "TYPE", "SIZE", "LICENCE", "NOTE"}};
  for (const StoredModel& model : models) {
    std::string note = is_default(model) ? "default" : "";
    if (holds_embedding_model(model.path)) note = "embedding model";
    if (!model.problem.empty()) note = "broken: " + model.problem;
    rows.push_back({model.name, model.manifest.quantization, human_bytes(model.size_bytes),
                    model.manifest.licence, std::move(note)});
  }
  fmt::print("{}", table(rows));
  return ExitCode::kOk;
}

}  // namespace

void add_list(CLI::App& app, CommandLine& line) {
  CLI::App* command = app.add_subcommand("list", "List the models on this machine");
  line.add_json(*command);
  command->footer("Example:\n  onnx-local list");
  command->callback([&line] {
    line.command = [&line](CommandContext& context) { return run_list(line.is_json, context); };
  });
}

}  // namespace onnxlocal
