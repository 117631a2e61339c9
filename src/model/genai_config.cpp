#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "model/json_fields.h"
#include "model/limits.h"
#include "model/model_config.h"
#include "model/token_list.h"

namespace onnxlocal {
namespace {

constexpr std::uint64_t kTokenMax = std::numeric_limits<TokenId>::max();

Result<std::optional<TokenId>> read_token(const JsonFields& fields, std::string_view key) {
  const auto* value = fields.find(key);
  // genai writes -1 where there is none.
  if (value != nullptr && value->is_int64() && value->get_int64() < 0) return std::nullopt;
  TRY(auto token, fields.optional_count(key, 0, kTokenMax));
  if (!token) return std::nullopt;
  return static_cast<TokenId>(*token);
}

Result<void> read_name(const JsonFields& fields, std::string_view key, std::string& name) {
  TRY(auto text, fields.optional_text(key));
  if (!text) return {};
  if (text->empty()) return std::unexpected(model_corrupt(fields.name(key) + " is empty"));
  name = *std::move(text);
  return {};
}

Result<void> read_layer_name(const JsonFields& fields, std::string_view key, std::string& name) {
  TRY_VOID(read_name(fields, key, name));
  const auto place = name.find("%d");
  if (place == std::string::npos || std::ranges::count(name, '%') != 1) {
    return std::unexpected(model_corrupt(
        fmt::format("{}: expected exactly one %d, which stands for the layer, found '{}'",
                    fields.name(key), name)));
  }
  return {};
}

Result<void> read_names(const JsonFields& decoder, GraphNames& names) {
  if (decoder.has("inputs")) {
    TRY(const auto inputs, decoder.object("inputs"));
    TRY_VOID(read_name(inputs, "input_ids", names.input_ids));
    TRY_VOID(read_name(inputs, "attention_mask", names.attention_mask));
    TRY_VOID(read_name(inputs, "position_ids", names.position_ids));
    TRY_VOID(read_layer_name(inputs, "past_key_names", names.past_key));
    TRY_VOID(read_layer_name(inputs, "past_value_names", names.past_value));
  }
  if (decoder.has("outputs")) {
    TRY(const auto outputs, decoder.object("outputs"));
    TRY_VOID(read_name(outputs, "logits", names.logits));
    TRY_VOID(read_layer_name(outputs, "present_key_names", names.present_key));
    TRY_VOID(read_layer_name(outputs, "present_value_names", names.present_value));
  }
  return {};
}

Result<void> read_shape(const JsonFields& decoder, ModelConfig& config) {
  TRY(const auto layers, decoder.count("num_hidden_layers", 1, kLayersMax));
  TRY(const auto heads, decoder.count("num_attention_heads", 1, kHeadsMax));
  TRY(const auto kv_heads, decoder.optional_count("num_key_value_heads", 1, kHeadsMax));
  TRY(const auto head_dim, decoder.count("head_size", 1, kHeadDimMax));
  TRY(const auto hidden, decoder.optional_count("hidden_size", 1, kHiddenSizeMax));
  config.layers = static_cast<std::uint32_t>(layers);
  config.attention_heads = static_cast<std::uint32_t>(heads);
  config.kv_heads = static_cast<std::uint32_t>(kv_heads.value_or(heads));
  config.head_dim = static_cast<std::uint32_t>(head_dim);
  config.hidden_size = static_cast<std::uint32_t>(hidden.value_or(heads * head_dim));
  if (config.attention_heads % config.kv_heads != 0) {
    return std::unexpected(model_corrupt(
        fmt::format("{}: {} attention heads do not divide evenly among {} key/value heads",
                    decoder.name("num_key_value_heads"), config.attention_heads, config.kv_heads)));
  }
  return {};
}

Result<void> read_model_file(const JsonFields& decoder, ModelConfig& config) {
  TRY(config.model_file, decoder.text("filename"));
  const std::filesystem::path file(config.model_file);
  const bool leaves = std::ranges::find(file, "..") != file.end();
  if (config.model_file.empty() || file.is_absolute() || leaves ||
      config.model_file.find('\0') != std::string::npos) {
    return std::unexpected(
        model_corrupt(fmt::format("{}: expected a file inside the model's folder, found '{}'",
                                  decoder.name("filename"), config.model_file)));
  }
  return {};
}

Result<void> refuse_other_kinds(const JsonFields& model) {
  for (const auto* section : {"encoder", "vision", "speech", "embedding"}) {
    if (!model.has(section)) continue;
    return std::unexpected(unsupported(
        fmt::format("{}: the model has more parts than a text decoder", model.name(section)),
        "text-only decoder models are supported"));
  }
  return {};
}

json::value token_list(const std::vector<TokenId>& tokens) {
  if (tokens.size() == 1) return tokens.front();
  json::array list;
  for (const auto token : tokens) list.push_back(token);
  return list;
}

/// A folder that asks for greedy search says nothing of how the model is best sampled.
Result<void> read_sampling(const JsonFields& search, SamplingDefaults& sampling) {
  TRY(const auto samples, search.optional_flag("do_sample"));
  if (!samples.value_or(false)) return {};
  TRY(const auto temperature, search.optional_number("temperature", 0, 2));
  TRY(const auto top_k, search.optional_count("top_k", 0, kVocabularyMax));
  TRY(const auto top_p, search.optional_number("top_p", 0, 1));
  if (temperature) sampling.temperature = static_cast<float>(*temperature);
  if (top_k) sampling.top_k = static_cast<std::uint32_t>(*top_k);
  if (top_p && *top_p > 0) sampling.top_p = static_cast<float>(*top_p);
  return {};
}

}  // namespace

Result<std::vector<TokenId>> read_token_list(const JsonFields& fields, std::string_view key) {
  std::vector<TokenId> tokens;
  const auto* value = fields.find(key);
  if (value == nullptr || !value->is_array()) {
    TRY(const auto token, read_token(fields, key));
    if (token) tokens.push_back(*token);
    return tokens;
  }
  for (const auto& item : value->get_array()) {
    if (!item.is_int64() || item.get_int64() < 0 ||
        item.get_int64() > static_cast<std::int64_t>(kTokenMax)) {
      return std::unexpected(model_corrupt(
          fmt::format("{}: expected token ids, found {}", fields.name(key), kind_name(item))));
    }
    tokens.push_back(static_cast<TokenId>(item.get_int64()));
  }
  return tokens;
}

Result<ModelConfig> parse_genai_config(std::string_view text, std::string_view where) {
  TRY(const auto document, parse_model_json(text, where));
  const JsonFields root(document.get_object(), std::string(where));
  TRY(const auto model, root.object("model"));
  TRY_VOID(refuse_other_kinds(model));
  TRY(const auto decoder, model.object("decoder"));
  if (decoder.has("pipeline")) {
    return std::unexpected(
        unsupported(decoder.name("pipeline") + ": the decoder is cut into several graphs",
                    "models with one decoder graph are supported"));
  }
  ModelConfig config;
  TRY(config.architecture, model.text("type"));
  TRY(const auto vocabulary, model.count("vocab_size", 1, kVocabularyMax));
  TRY(const auto context, model.count("context_length", 1, kContextTokensMax));
  config.vocabulary_size = static_cast<std::uint32_t>(vocabulary);
  config.context_tokens = static_cast<std::uint32_t>(context);
  TRY(config.eos_tokens, read_token_list(model, "eos_token_id"));
  TRY(config.bos_token, read_token(model, "bos_token_id"));
  TRY(config.pad_token, read_token(model, "pad_token_id"));
  TRY_VOID(read_shape(decoder, config));
  TRY_VOID(read_model_file(decoder, config));
  TRY_VOID(read_names(decoder, config.names));
  config.shares_past_present = false;  // genai's default
  if (root.has("search")) {
    TRY(const auto search, root.object("search"));
    TRY(const auto shares, search.optional_flag("past_present_share_buffer"));
    config.shares_past_present = shares.value_or(false);
    TRY_VOID(read_sampling(search, config.sampling));
  }
  return config;
}

std::string to_genai_config(const ModelConfig& config) {
  const auto& names = config.names;
  const json::object decoder = {
      {"session_options", {{"log_id", "onnxruntime-genai"}, {"provider_options", json::array()}}},
      {"filename", config.model_file},
      {"head_size", config.head_dim},
      {"hidden_size", config.hidden_size},
      {"inputs",
       {{"input_ids", names.input_ids},
        {"attention_mask", names.attention_mask},
        {"past_key_names", names.past_key},
        {"past_value_names", names.past_value}}},
      {"outputs",
       {{"logits", names.logits},
        {"present_key_names", names.present_key},
        {"present_value_names", names.present_value}}},
      {"num_attention_heads", config.attention_heads},
      {"num_hidden_layers", config.layers},
      {"num_key_value_heads", config.kv_heads},
  };
  json::object model;
  if (config.bos_token) model["bos_token_id"] = *config.bos_token;
  model["context_length"] = config.context_tokens;
  model["decoder"] = decoder;
  model["eos_token_id"] = token_list(config.eos_tokens);
  // genai pads batches with it and asks for one; the end token never reaches the attention.
  const TokenId end = config.eos_tokens.empty() ? 0 : config.eos_tokens.front();
  model["pad_token_id"] = config.pad_token.value_or(end);
  model["type"] = config.architecture;
  model["vocab_size"] = config.vocabulary_size;
  const json::object search = {
      {"do_sample", false},
      {"max_length", config.context_tokens},
      {"past_present_share_buffer", config.shares_past_present},
      {"temperature", 1.0},
      {"top_k", 1},
      {"top_p", 1.0},
  };
  return json::serialize(json::object{{"model", model}, {"search", search}}) + "\n";
}

std::string layer_name(std::string_view pattern, std::uint32_t layer) {
  std::string name(pattern);
  const auto place = name.find("%d");
  if (place != std::string::npos) name.replace(place, 2, std::to_string(layer));
  return name;
}

}  // namespace onnxlocal
