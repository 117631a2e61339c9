#include "model/embedding_folder.h"

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "base/file_system.h"
#include "model/folder_files.h"
#include "model/json_fields.h"
#include "model/limits.h"
#include "model/onnx_file.h"
#include "model/token_list.h"

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPoolingFolder = "1_Pooling";
constexpr std::size_t kModulesMax = 64;
/// Where no file says it: BERT's.
constexpr std::uint32_t kWindowDefault = 512;

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.front() != '.' && name.size() <= 128 &&
         name.find_first_of("/\\") == std::string_view::npos;
}

/// "sentence_transformers.models.Pooling" gives "Pooling".
std::string_view class_name(std::string_view type) {
  const auto dot = type.rfind('.');
  return dot == std::string_view::npos ? type : type.substr(dot + 1);
}

/// True where config.json names a causal model.
bool is_causal(const JsonFields& config) {
  const auto* names = config.find("architectures");
  if (names == nullptr || !names->is_array()) return false;
  return std::ranges::any_of(names->get_array(), [](const json::value& name) {
    if (!name.is_string()) return false;
    const std::string_view text = name.get_string();
    return text.ends_with("ForCausalLM") || text.ends_with("LMHeadModel");
  });
}

bool has_embedding_output(const onnx::GraphProto& graph) {
  const auto gives = [&](std::string_view name) {
    return std::ranges::any_of(graph.output(),
                               [&](const auto& output) { return output.name() == name; });
  };
  return (gives(kSentenceOutput) || std::ranges::any_of(kTokenOutputs, gives)) && !gives("logits");
}

/// The least of what is said, since positions beyond any of these were never trained, or are not
/// there at all.
Result<std::uint32_t> read_window(const fs::path& folder, const JsonFields& config,
                                  const EmbeddingConfig& model) {
  std::vector<std::uint64_t> windows;
  for (const char* key : {"max_position_embeddings", "n_positions", "max_trained_positions"}) {
    TRY(const auto positions, config.optional_count(key, 1, kContextTokensMax));
    if (positions) windows.push_back(*positions);
  }
  // These number their positions from the padding token's id on, and count none for it.
  constexpr std::array<std::string_view, 4> kOffset = {"roberta", "xlm-roberta", "camembert",
                                                       "mpnet"};
  const auto offset = static_cast<std::uint64_t>(model.pad_token) + 1;
  if (!windows.empty() && windows.front() > offset &&
      std::ranges::find(kOffset, model.architecture) != kOffset.end()) {
    windows.front() -= offset;
  }
  for (const auto& [name, key] : {std::pair("sentence_bert_config.json", "max_seq_length"),
                                  std::pair("tokenizer_config.json", "model_max_length")}) {
    const auto file = folder / name;
    TRY(const auto text, read_optional_file(file, kTokenizerConfigBytesMax));
    if (text.empty()) continue;
    TRY(const auto document, parse_model_json(text, file.string()));
    const JsonFields fields(document.get_object(), file.string());
    // A tokenizer without a limit says 1e30.
    TRY(const auto tokens, fields.optional_number(key, 0, 1e300));
    if (tokens && *tokens >= 1 && *tokens <= static_cast<double>(kContextTokensMax)) {
      windows.push_back(static_cast<std::uint64_t>(*tokens));
    }
  }
  if (windows.empty()) return kWindowDefault;
  return static_cast<std::uint32_t>(std::ranges::min(windows));
}

Result<void> read_config(const fs::path& folder, EmbeddingConfig& model) {
  const auto file = folder / "config.json";
  TRY(const auto text, read_text_file(file, kConfigBytesMax));
  TRY(const auto document, parse_model_json(text, file.string()));
  const JsonFields fields(document.get_object(), file.string());
  TRY(auto architecture, fields.optional_text("model_type"));
  model.architecture = std::move(architecture).value_or("");
  for (const char* key : {"hidden_size", "d_model", "dim"}) {
    TRY(const auto size, fields.optional_count(key, 1, kHiddenSizeMax));
    if (size && model.dimensions == 0) model.dimensions = static_cast<std::uint32_t>(*size);
  }
  TRY(const auto pad, read_token_list(fields, "pad_token_id"));
  if (!pad.empty()) model.pad_token = pad.front();
  if (is_causal(fields)) model.pooling = Pooling::kLast;
  TRY(model.context_tokens, read_window(folder, fields, model));
  return {};
}

Result<void> read_pooling(const fs::path& folder, std::string_view name, EmbeddingConfig& model) {
  const auto file = folder / name / "config.json";
  TRY(const auto text, read_text_file(file, kConfigBytesMax));
  TRY(const PoolingConfig config, parse_pooling_config(text, file.string()));
  if (config.pooling) {
    model.pooling = *config.pooling;
  } else {
    model.foreign_step = "Pooling";
  }
  if (config.dimensions > 0) model.dimensions = config.dimensions;
  return {};
}

Result<void> read_steps(const fs::path& folder, EmbeddingConfig& model) {
  const auto file = folder / "modules.json";
  TRY(const auto text, read_optional_file(file, kConfigBytesMax));
  if (text.empty()) {
    return is_file(folder / kPoolingFolder / "config.json")
               ? read_pooling(folder, kPoolingFolder, model)
               : Result<void>();
  }
  TRY(EmbeddingModules modules, parse_embedding_modules(text, file.string()));
  model.normalizes = modules.normalizes;
  model.foreign_step = std::move(modules.foreign_step);
  return modules.pooling_folder.empty() ? Result<void>()
                                        : read_pooling(folder, modules.pooling_folder, model);
}

}  // namespace

std::string_view to_string(Pooling pooling) {
  switch (pooling) {
    case Pooling::kMean: return "mean";
    case Pooling::kLast: return "last";
    case Pooling::kCls: return "cls";
  }
  return "mean";
}

bool holds_embedding_model(const fs::path& folder) {
  if (is_file(folder / "genai_config.json")) return false;
  if (is_file(folder / "modules.json") || is_file(folder / kPoolingFolder / "config.json")) {
    return true;
  }
  const auto text = read_text_file(folder / "config.json", kConfigBytesMax);
  if (!text) return false;
  const auto document = parse_model_json(*text, "config.json");
  if (!document || is_causal(JsonFields(document->get_object(), "config.json"))) return false;
  const auto file = find_exported_graph(folder);
  onnx::ModelProto model;
  return file && read_onnx_file(folder / *file, model) && has_embedding_output(model.graph());
}

Result<EmbeddingFolder> read_embedding_folder(const fs::path& folder) {
  EmbeddingFolder model;
  model.path = folder;
  model.name = folder_name(folder);
  TRY(model.config.model_file, find_exported_graph(folder));
  TRY_VOID(read_config(folder, model.config));
  TRY_VOID(read_steps(folder, model.config));
  if (!model.config.foreign_step.empty()) model.config.dimensions = 0;
  return model;
}

Result<EmbeddingModules> parse_embedding_modules(std::string_view text, std::string_view where) {
  const auto document = json::parse(text);
  if (!document || !document->is_array() || document->get_array().size() > kModulesMax) {
    return std::unexpected(
        model_corrupt(fmt::format("{}: expected a JSON list of modules", where)));
  }
  EmbeddingModules modules;
  for (const json::value& value : document->get_array()) {
    if (!value.is_object()) {
      return std::unexpected(
          model_corrupt(fmt::format("{}: expected an object, found {}", where, kind_name(value))));
    }
    const JsonFields module(value.get_object(), std::string(where), "[].");
    TRY(const std::string type, module.text("type"));
    const std::string_view name = class_name(type);
    if (name == "Pooling") {
      TRY(modules.pooling_folder, module.text("path"));
      if (!is_plain_name(modules.pooling_folder)) {
        return std::unexpected(
            model_corrupt(module.name("path") + ": expected the name of a folder"));
      }
    } else if (name == "Normalize") {
      modules.normalizes = true;
    } else if (name != "Transformer") {
      modules.foreign_step = name;
    }
  }
  return modules;
}

Result<PoolingConfig> parse_pooling_config(std::string_view text, std::string_view where) {
  TRY(const auto document, parse_model_json(text, where));
  const JsonFields fields(document.get_object(), std::string(where));
  PoolingConfig config;
  TRY(const auto size, fields.optional_count("word_embedding_dimension", 1, kHiddenSizeMax));
  config.dimensions = static_cast<std::uint32_t>(size.value_or(0));
  // Several modes at once give their vectors one behind the other.
  std::size_t modes = 0;
  for (const auto& [key, pooling] :
       {std::pair("pooling_mode_mean_tokens", std::optional(Pooling::kMean)),
        std::pair("pooling_mode_lasttoken", std::optional(Pooling::kLast)),
        std::pair("pooling_mode_cls_token", std::optional(Pooling::kCls)),
        std::pair("pooling_mode_max_tokens", std::optional<Pooling>()),
        std::pair("pooling_mode_mean_sqrt_len_tokens", std::optional<Pooling>()),
        std::pair("pooling_mode_weightedmean_tokens", std::optional<Pooling>())}) {
    TRY(const auto is_on, fields.optional_flag(key));
    if (!is_on.value_or(false)) continue;
    config.pooling = pooling;
    ++modes;
  }
  if (modes == 0) {
    return std::unexpected(model_corrupt(fmt::format("{}: names no pooling mode", where)));
  }
  if (modes > 1) config.pooling.reset();
  return config;
}

}  // namespace onnxlocal
