#include "import/decoder_shape.h"

#include <fmt/format.h>

#include <cmath>

#include "import/dequantize.h"
#include "model/limits.h"

namespace onnxlocal {
namespace {

/// Metadata under one prefix, with limits.
class Keys {
 public:
  Keys(const GgufFile& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  std::string name(std::string_view key) const { return fmt::format("{}.{}", prefix_, key); }

  Result<std::optional<std::uint32_t>> find_count(std::string_view key, std::uint64_t max) const {
    TRY(const auto value, file_.find<std::uint32_t>(name(key)));
    if (value && (*value == 0 || *value > max)) {
      return std::unexpected(
          model_corrupt(fmt::format("{}: expected 1 to {}, found {}", name(key), max, *value)));
    }
    return value;
  }

  Result<std::uint32_t> count(std::string_view key, std::uint64_t max) const {
    TRY(const auto value, find_count(key, max));
    if (value) return *value;
    return std::unexpected(model_corrupt(fmt::format("GGUF metadata has no key '{}'", name(key))));
  }

  Result<std::optional<double>> find_positive(std::string_view key) const {
    TRY(const auto value, file_.find<float>(name(key)));
    if (!value) return std::nullopt;
    if (!std::isfinite(*value) || *value <= 0) {
      return std::unexpected(model_corrupt(
          fmt::format("{}: expected a positive number, found {}", name(key), *value)));
    }
    return std::optional<double>(*value);
  }

  Result<double> positive_or(std::string_view key, double fallback) const {
    TRY(const auto value, find_positive(key));
    return value.value_or(fallback);
  }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

Error does_not_divide(const Keys& keys, std::string_view key, std::uint32_t whole,
                      std::uint32_t parts) {
  return model_corrupt(fmt::format("{}: {} cannot be divided by {}", keys.name(key), whole, parts));
}

Result<void> read_heads(const Keys& keys, DecoderShape& shape) {
  TRY(shape.heads, keys.count("attention.head_count", kHeadsMax));
  TRY(const auto kv_heads, keys.find_count("attention.head_count_kv", kHeadsMax));
  shape.kv_heads = kv_heads.value_or(shape.heads);
  if (shape.heads % shape.kv_heads != 0) {
    return std::unexpected(
        does_not_divide(keys, "attention.head_count", shape.heads, shape.kv_heads));
  }
  TRY(const auto key_length, keys.find_count("attention.key_length", kHeadDimMax));
  TRY(const auto value_length, keys.find_count("attention.value_length", kHeadDimMax));
  if (!key_length && shape.hidden_size % shape.heads != 0) {
    return std::unexpected(
        does_not_divide(keys, "embedding_length", shape.hidden_size, shape.heads));
  }
  shape.head_dim = key_length.value_or(shape.hidden_size / shape.heads);
  if (value_length.value_or(shape.head_dim) != shape.head_dim) {
    return std::unexpected(
        unsupported(fmt::format("keys of {} and values of {} per head: they must be equal",
                                shape.head_dim, *value_length)));
  }
  // GroupQueryAttention's own rule.
  if (shape.head_dim % 8 != 0) {
    return std::unexpected(
        unsupported(fmt::format("heads of {} values: a multiple of 8 is needed", shape.head_dim)));
  }
  TRY(const auto rotated, keys.find_count("rope.dimension_count", kHeadDimMax));
  if (rotated.value_or(shape.head_dim) != shape.head_dim) {
    return std::unexpected(
        unsupported(fmt::format("{}: {} of the {} values of a head are rotated, and all must be",
                                keys.name("rope.dimension_count"), *rotated, shape.head_dim)));
  }
  return {};
}

Result<RopeSettings::Scaling> parse_scaling(const Keys& keys, std::string_view name) {
  if (name == "none") return RopeSettings::Scaling::kNone;
  if (name == "linear") return RopeSettings::Scaling::kLinear;
  if (name == "yarn") return RopeSettings::Scaling::kYarn;
  return std::unexpected(unsupported(fmt::format("{}: '{}'", keys.name("rope.scaling.type"), name),
                                     "supported are none, linear, yarn, and Llama 3's factors"));
}

Result<std::vector<float>> read_pair_factors(const GgufFile& file, std::uint32_t head_dim) {
  const auto* tensor = file.find_tensor("rope_freqs.weight");
  if (tensor == nullptr) return std::vector<float>();
  std::vector<float> factors(head_dim / 2);
  if (tensor->value_count() != factors.size()) {
    return std::unexpected(
        model_corrupt(fmt::format("tensor '{}': expected {} values, found {}", tensor->name,
                                  factors.size(), tensor->value_count())));
  }
  TRY_VOID(dequantize(tensor->type, tensor->data, factors));
  for (const float factor : factors) {
    if (std::isfinite(factor) && factor > 0) continue;
    return std::unexpected(model_corrupt(
        fmt::format("tensor '{}': expected positive numbers, found {}", tensor->name, factor)));
  }
  return factors;
}

Result<RopeSettings> read_rope(const GgufFile& file, const Keys& keys, const DecoderShape& shape) {
  RopeSettings rope;
  TRY(rope.base, keys.positive_or("rope.freq_base", 10000.0));
  TRY(const auto scaling, file.get_or<std::string_view>(keys.name("rope.scaling.type"), "linear"));
  TRY(rope.scaling, parse_scaling(keys, scaling));
  TRY(const auto old_factor, keys.positive_or("rope.scale_linear", 1.0));
  TRY(rope.factor, keys.positive_or("rope.scaling.factor", old_factor));
  TRY(rope.attention_factor, keys.positive_or("rope.scaling.attn_factor", 1.0));
  TRY(rope.beta_fast, keys.positive_or("rope.scaling.yarn_beta_fast", 32.0));
  TRY(rope.beta_slow, keys.positive_or("rope.scaling.yarn_beta_slow", 1.0));
  TRY(const auto original,
      keys.find_count("rope.scaling.original_context_length", kContextTokensMax));
  rope.original_context_tokens = original.value_or(shape.context_tokens);
  TRY(rope.pair_factors, read_pair_factors(file, shape.head_dim));
  if (rope.base <= 1.0) {
    return std::unexpected(model_corrupt(
        fmt::format("{}: expected more than 1, found {}", keys.name("rope.freq_base"), rope.base)));
  }
  return rope;
}

}  // namespace

Result<DecoderShape> read_decoder_shape(const GgufFile& file, const std::string& prefix) {
  const Keys keys(file, prefix);
  TRY(const auto experts, file.get_or<std::uint32_t>(keys.name("expert_count"), 0));
  if (experts > 0) {
    return std::unexpected(unsupported(
        fmt::format("{}: mixtures of experts ({} of them)", keys.name("expert_count"), experts)));
  }
  DecoderShape shape;
  shape.architecture = prefix;
  TRY(shape.layers, keys.count("block_count", kLayersMax));
  TRY(shape.context_tokens, keys.count("context_length", kContextTokensMax));
  TRY(shape.hidden_size, keys.count("embedding_length", kHiddenSizeMax));
  TRY(shape.feed_forward_size, keys.count("feed_forward_length", kHiddenSizeMax));
  TRY_VOID(read_heads(keys, shape));
  TRY(const auto epsilon, keys.find_positive("attention.layer_norm_rms_epsilon"));
  if (!epsilon) {
    return std::unexpected(model_corrupt(fmt::format(
        "GGUF metadata has no key '{}'", keys.name("attention.layer_norm_rms_epsilon"))));
  }
  shape.norm_epsilon = static_cast<float>(*epsilon);
  TRY(shape.rope, read_rope(file, keys, shape));
  TRY(const auto window, file.get_or<std::uint32_t>(keys.name("attention.sliding_window"), 0));
  if (window > 0) shape.window_tokens = window;

  const auto* embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2 || embedding->shape[1] == 0 ||
      embedding->shape[1] > kVocabularyMax) {
    return std::unexpected(model_corrupt(
        "tensor 'token_embd.weight' is missing, or is no matrix with a row for each token"));
  }
  shape.vocabulary_size = static_cast<std::uint32_t>(embedding->shape[1]);
  return shape;
}

}  // namespace onnxlocal
