#include "model/exported_graph.h"

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include <array>
#include <optional>
#include <set>
#include <string>

#include "model/json_fields.h"
#include "model/limits.h"
#include "model/token_list.h"

namespace onnxlocal {
namespace {

/// Names of keys or values, the layer's number replaced: "past_key_values.%d.key".
struct LayerNames {
  std::string pattern;
  std::uint32_t layers = 0;
};

/// "past_key_values.11.key" and "key" give ("past_key_values.%d.key", 11).
struct SplitName {
  std::string pattern;
  std::uint64_t layer = 0;
};

std::optional<SplitName> split_name(std::string_view name) {
  const auto first = name.find_first_of("0123456789");
  if (first == std::string_view::npos || name.find('%') != std::string_view::npos) {
    return std::nullopt;
  }
  auto end = name.find_first_not_of("0123456789", first);
  if (end == std::string_view::npos) end = name.size();
  if (end - first > 4) return std::nullopt;
  SplitName split;
  for (const char digit : name.substr(first, end - first)) {
    split.layer = split.layer * 10 + static_cast<std::uint64_t>(digit - '0');
  }
  split.pattern = fmt::format("{}%d{}", name.substr(0, first), name.substr(end));
  return split;
}

using Values = google::protobuf::RepeatedPtrField<onnx::ValueInfoProto>;

/// The one pattern of `values` that starts with one of `prefixes` and ends with `suffix`, with its
/// layers counted from 0 without a gap.
Result<LayerNames> find_layers(const Values& values, std::string_view prefix,
                               std::string_view suffix) {
  LayerNames names;
  std::set<std::uint64_t> layers;
  for (const auto& value : values) {
    const std::string_view name = value.name();
    if (!name.starts_with(prefix) || !name.ends_with(suffix)) continue;
    const auto split = split_name(name);
    if (!split || (!names.pattern.empty() && split->pattern != names.pattern)) continue;
    names.pattern = split->pattern;
    layers.insert(split->layer);
  }
  if (layers.empty() || *layers.rbegin() != layers.size() - 1) {
    return std::unexpected(unsupported(
        fmt::format(
            "the graph is not a decoder with past keys and values: expected '{}<layer>...{}'"
            " for every layer, found {} of them",
            prefix, suffix, layers.size()),
        "export the model with past key/values (optimum: text-generation-with-past)"));
  }
  names.layers = static_cast<std::uint32_t>(layers.size());
  return names;
}

const onnx::ValueInfoProto* find_value(const Values& values, std::string_view name) {
  for (const auto& value : values) {
    if (value.name() == name) return &value;
  }
  return nullptr;
}

/// A fixed dimension of a value, counted from the front, or from the back where negative.
std::optional<std::uint32_t> fixed_dim(const onnx::ValueInfoProto& value, int index,
                                       std::uint64_t max) {
  const auto& shape = value.type().tensor_type().shape();
  const int place = index < 0 ? shape.dim_size() + index : index;
  if (place < 0 || place >= shape.dim_size()) return std::nullopt;
  const auto& dim = shape.dim(place);
  if (!dim.has_dim_value() || dim.dim_value() < 1) return std::nullopt;
  if (static_cast<std::uint64_t>(dim.dim_value()) > max) return std::nullopt;
  return static_cast<std::uint32_t>(dim.dim_value());
}

Result<void> read_names(const onnx::GraphProto& graph, ModelConfig& config) {
  TRY(const auto past_keys, find_layers(graph.input(), "past", "key"));
  TRY(const auto past_values, find_layers(graph.input(), "past", "value"));
  TRY(const auto present_keys, find_layers(graph.output(), "present", "key"));
  TRY(const auto present_values, find_layers(graph.output(), "present", "value"));
  if (past_values.layers != past_keys.layers || present_keys.layers != past_keys.layers ||
      present_values.layers != past_keys.layers) {
    return std::unexpected(model_corrupt(fmt::format(
        "the graph takes {} past keys and {} values, and gives {} keys and {} values",
        past_keys.layers, past_values.layers, present_keys.layers, present_values.layers)));
  }
  for (const auto& name : {config.names.input_ids, config.names.attention_mask}) {
    if (find_value(graph.input(), name) != nullptr) continue;
    return std::unexpected(unsupported(fmt::format("the graph has no input '{}'", name)));
  }
  if (find_value(graph.output(), config.names.logits) == nullptr) {
    return std::unexpected(
        unsupported(fmt::format("the graph has no output '{}'", config.names.logits)));
  }
  config.layers = past_keys.layers;
  config.names.past_key = past_keys.pattern;
  config.names.past_value = past_values.pattern;
  config.names.present_key = present_keys.pattern;
  config.names.present_value = present_values.pattern;
  return {};
}

bool has_group_query_attention(const onnx::GraphProto& graph) {
  for (const auto& node : graph.node()) {
    if (node.op_type() == "GroupQueryAttention") return true;
  }
  return false;
}

/// The first of `keys` that the JSON has: model families name the same thing differently.
Result<std::optional<std::uint64_t>> first_count(const JsonFields& fields,
                                                 std::initializer_list<std::string_view> keys,
                                                 std::uint64_t max) {
  for (const auto key : keys) {
    TRY(auto value, fields.optional_count(key, 1, max));
    if (value) return value;
  }
  return std::nullopt;
}

Result<void> read_shape(const onnx::GraphProto& graph, const JsonFields& fields,
                        ModelConfig& config) {
  TRY(const auto heads,
      first_count(fields, {"num_attention_heads", "n_head", "num_heads"}, kHeadsMax));
  TRY(const auto kv_heads, fields.optional_count("num_key_value_heads", 1, kHeadsMax));
  TRY(const auto hidden, first_count(fields, {"hidden_size", "n_embd", "d_model"}, kHiddenSizeMax));
  TRY(const auto head_dim, fields.optional_count("head_dim", 1, kHeadDimMax));
  TRY(const auto vocabulary, fields.optional_count("vocab_size", 1, kVocabularyMax));
  const auto* key = find_value(graph.input(), layer_name(config.names.past_key, 0));
  const auto* logits = find_value(graph.output(), config.names.logits);
  const auto graph_kv_heads = fixed_dim(*key, 1, kHeadsMax);
  const auto graph_head_dim = fixed_dim(*key, 3, kHeadDimMax);
  const auto graph_vocabulary = fixed_dim(*logits, -1, kVocabularyMax);
  config.kv_heads =
      graph_kv_heads.value_or(static_cast<std::uint32_t>(kv_heads.value_or(heads.value_or(0))));
  config.attention_heads = static_cast<std::uint32_t>(heads.value_or(config.kv_heads));
  const auto derived = hidden && heads ? *hidden / *heads : 0;
  config.head_dim = graph_head_dim.value_or(static_cast<std::uint32_t>(head_dim.value_or(derived)));
  config.hidden_size = static_cast<std::uint32_t>(
      hidden.value_or(std::uint64_t{config.attention_heads} * config.head_dim));
  config.vocabulary_size =
      graph_vocabulary.value_or(static_cast<std::uint32_t>(vocabulary.value_or(0)));
  const std::array<std::pair<std::uint32_t, const char*>, 3> needed = {
      {{config.kv_heads, "num_key_value_heads"},
       {config.head_dim, "head_dim"},
       {config.vocabulary_size, "vocab_size"}}};
  for (const auto& [value, name] : needed) {
    if (value > 0) continue;
    return std::unexpected(model_corrupt(
        fmt::format("{} is missing, and the graph's shapes do not say it", fields.name(name))));
  }
  return {};
}

}  // namespace

Result<ModelConfig> config_of_exported_graph(const onnx::ModelProto& model,
                                             std::string_view config_json, std::string_view where) {
  TRY(const auto document, parse_model_json(config_json, where));
  const JsonFields fields(document.get_object(), std::string(where));
  ModelConfig config;
  TRY_VOID(read_names(model.graph(), config));
  TRY_VOID(read_shape(model.graph(), fields, config));
  TRY(auto architecture, fields.optional_text("model_type"));
  config.architecture = std::move(architecture).value_or("");
  TRY(const auto context,
      first_count(fields, {"max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"},
                  kContextTokensMax));
  if (!context) {
    return std::unexpected(model_corrupt(fields.name("max_position_embeddings") + " is missing"));
  }
  config.context_tokens = static_cast<std::uint32_t>(*context);
  TRY(config.eos_tokens, read_token_list(fields, "eos_token_id"));
  TRY(const auto begin, read_token_list(fields, "bos_token_id"));
  TRY(const auto pad, read_token_list(fields, "pad_token_id"));
  if (!begin.empty()) config.bos_token = begin.front();
  if (!pad.empty()) config.pad_token = pad.front();
  // Only GroupQueryAttention takes one buffer as past and present; other exports make new ones.
  config.shares_past_present = has_group_query_attention(model.graph());
  return config;
}

Result<void> apply_generation_config(std::string_view text, std::string_view where,
                                     ModelConfig& config) {
  TRY(const auto document, parse_model_json(text, where));
  const JsonFields fields(document.get_object(), std::string(where));
  TRY(auto end, read_token_list(fields, "eos_token_id"));
  if (!end.empty()) config.eos_tokens = std::move(end);
  return {};
}

}  // namespace onnxlocal
