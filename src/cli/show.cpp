#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/program.h"
#include "model/model_config.h"
#include "runtime/model_session.h"
#include "store/embedding_models.h"

namespace onnxlocal {

namespace {

/// The newest folder that the runtime derived from this model (docs/formats/derived-model.md): what
/// the stock CPU provider really runs. Empty where there is none.
std::filesystem::path find_derived(const std::filesystem::path& cache, const std::string& name) {
  namespace fs = std::filesystem;
  fs::path newest;
  fs::file_time_type newest_time;
  std::error_code failed;
  for (fs::directory_iterator entry(cache / "derived", failed), end; !failed && entry != end;
       entry.increment(failed)) {
    std::error_code ignored;
    const auto time = entry->last_write_time(ignored);
    const StoredModel derived = read_stored_model(entry->path());
    if (derived.manifest.name != name || (!newest.empty() && time <= newest_time)) continue;
    newest = entry->path();
    newest_time = time;
  }
  return newest;
}

/// What the kernels of onnx-local use here; empty where it cannot be had.
std::string instruction_set_of(const Settings& settings) {
  return list_execution_providers(settings.runtime.execution_providers).front().instruction_set;
}

json::object to_json_object(const ModelFolder& folder, const StoredModel& model) {
  const ModelConfig& config = folder.config;
  json::array files;
  for (const ManifestFile& file : model.manifest.files) {
    files.push_back(json::object{
        {"name", file.name}, {"size_bytes", file.size_bytes}, {"sha256", file.sha256}});
  }
  return {{"name", folder.name},
          {"path", folder.path.string()},
          {"kind", "text"},
          {"size_bytes", model.size_bytes},
          {"architecture", config.architecture},
          {"parameters", model.manifest.parameters},
          {"quantization", model.manifest.quantization},
          {"context_tokens", config.context_tokens},
          {"vocabulary_size", config.vocabulary_size},
          {"layers", config.layers},
          {"attention_heads", config.attention_heads},
          {"kv_heads", config.kv_heads},
          {"head_dim", config.head_dim},
          {"hidden_size", config.hidden_size},
          {"licence", model.manifest.licence},
          {"source", model.manifest.source},
          {"revision", model.manifest.revision},
          {"files", std::move(files)},
          {"problem", model.problem}};
}

void print_text(const ModelFolder& folder, const StoredModel& model,
                const std::string& instruction_set) {
  const ModelConfig& config = folder.config;
  std::vector<std::vector<std::string>> rows = {
      {"name", folder.name},
      {"folder", folder.path.string()},
      {"size", human_bytes(model.size_bytes)},
      {"architecture", config.architecture},
      {"layers",
       fmt::format("{}, {} wide, {} heads of {} ({} for keys and values)", config.layers,
                   config.hidden_size, config.attention_heads, config.head_dim, config.kv_heads)},
      {"context", fmt::format("{} tokens", config.context_tokens)},
      {"vocabulary", fmt::format("{} tokens", config.vocabulary_size)}};
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) rows.push_back({name, value});
  };
  const Manifest& manifest = model.manifest;
  if (manifest.parameters > 0) {
    add("parameters",
        fmt::format("{:.1f} million", static_cast<double>(manifest.parameters) / 1e6));
  }
  add("weights", manifest.quantization);
  add("instruction set", instruction_set);
  add("licence", manifest.licence);
  add("source", manifest.source);
  add("revision", manifest.revision);
  add("problem", model.problem);
  for (const ManifestFile& file : manifest.files) {
    add("file", fmt::format("{} ({})", file.name, human_bytes(file.size_bytes)));
  }
  fmt::print("{}", table(rows));
}

Result<ExitCode> show_embedding_model(const std::filesystem::path& path, bool is_json) {
  TRY(const EmbeddingFolder folder, read_embedding_folder(path));
  const StoredModel model = read_stored_model(path);
  const EmbeddingConfig& config = folder.config;
  if (is_json) {
    print_json(json::object{{"name", folder.name},
                            {"path", folder.path.string()},
                            {"kind", "embedding"},
                            {"size_bytes", model.size_bytes},
                            {"architecture", config.architecture},
                            {"context_tokens", config.context_tokens},
                            {"dimensions", config.dimensions},
                            {"pooling", to_string(config.pooling)},
                            {"normalizes", config.normalizes},
                            {"licence", model.manifest.licence}});
    return ExitCode::kOk;
  }
  fmt::print("{}", table({{"name", folder.name},
                          {"kind", "embedding model"},
                          {"folder", folder.path.string()},
                          {"size", human_bytes(model.size_bytes)},
                          {"architecture", config.architecture},
                          {"context", fmt::format("{} tokens", config.context_tokens)},
                          {"vectors", fmt::format("{} numbers, {} pooling{}", config.dimensions,
                                                  to_string(config.pooling),
                                                  config.normalizes ? ", length 1" : "")}}));
  return ExitCode::kOk;
}

Result<ExitCode> run_show(const std::string& name, bool is_json, const CommandContext& context) {
  const std::string& wanted = name.empty() ? context.settings.model : name;
  if (const auto path = find_embedding_model(context.store.paths(), wanted)) {
    return show_embedding_model(*path, is_json);
  }
  TRY(const ModelFolder folder, context.store.resolve(wanted));
  const StoredModel model = read_stored_model(folder.path);
  if (is_json) {
    json::object object = to_json_object(folder, model);
    const auto derived = find_derived(context.store.paths().cache, folder.name);
    if (!derived.empty()) object["derived_path"] = derived.string();
    object["instruction_set"] = instruction_set_of(context.settings);
    print_json(object);
  } else {
    print_text(folder, model, instruction_set_of(context.settings));
  }
  return model.problem.empty() ? ExitCode::kOk : ExitCode::kFailure;
}

}  // namespace

void add_show(CLI::App& app, CommandLine& line) {
  CLI::App* command = app.add_subcommand("show", "Show what a model is");
  const auto name = std::make_shared<std::string>();
  command->add_option("MODEL", *name, "A name, a model folder or a file; else the default model");
  line.add_json(*command);
  command->footer("Example:\n  onnx-local show smollm2-135m-instruct");
  command->callback([name, &line] {
    line.command = [name, &line](CommandContext& context) {
      return run_show(*name, line.is_json, context);
    };
  });
}

}  // namespace onnxlocal
