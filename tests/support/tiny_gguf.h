#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gguf_writer.h"

namespace onnxlocal::test {

/// A language model of some kilobytes with random weights, and what may be wrong with it.
struct TinyModel {
  std::string architecture = "llama";
  GgmlType type = GgmlType::kF32;        ///< Of the layers' matrices.
  GgmlType table_type = GgmlType::kF32;  ///< Of the embedding and the output matrix.
  bool is_tied = true;                   ///< The embedding is the output matrix, too.
  std::uint32_t layers = 2;
  std::uint32_t heads = 4;
  std::uint32_t kv_heads = 2;
  std::uint32_t head_dim = 16;
  std::uint32_t feed_forward = 96;
  std::uint32_t vocabulary = 128;
  std::uint32_t context = 64;
  bool has_biases = false;

  /// Of the matrices of values in attention, where it is another than `type`.
  std::optional<GgmlType> value_type = {};

  std::map<std::string, std::uint32_t> numbers = {};  ///< More metadata, or another value of a key.
  std::map<std::string, std::string> texts = {};      ///< The same for strings.
  std::string left_out = {};                          ///< A tensor that is not written.
  std::string extra = {};                             ///< A tensor of one value that nobody knows.

  std::uint32_t hidden() const { return heads * head_dim; }
};

namespace detail {

/// Numbers of [-1, 1), the same on every machine.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  float next() {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<float>(state_ >> 40U) / static_cast<float>(1U << 23U) - 1.0F;
  }
  std::vector<float> values(std::size_t count, float mean, float spread) {
    std::vector<float> result(count);
    for (auto& value : result) value = mean + spread * next();
    return result;
  }

 private:
  std::uint64_t state_;
};

inline void add_tokenizer(GgufWriter& writer, std::uint32_t vocabulary) {
  std::vector<std::string> tokens = {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "Ġ", "Ċ"};
  std::vector<std::int32_t> kinds = {3, 3, 3, 1, 1};
  for (char letter = '!'; letter <= '~'; ++letter) tokens.emplace_back(1, letter);
  tokens.emplace_back("ab");
  while (tokens.size() < vocabulary) tokens.push_back("more" + std::to_string(tokens.size()));
  kinds.resize(tokens.size(), 1);
  writer.add("tokenizer.ggml.model", "gpt2")
      .add("tokenizer.ggml.pre", "smollm")
      .add("tokenizer.ggml.tokens", tokens)
      .add("tokenizer.ggml.token_type", kinds)
      .add("tokenizer.ggml.merges", std::vector<std::string>{"a b"})
      .add("tokenizer.ggml.bos_token_id", std::uint32_t{1})
      .add("tokenizer.ggml.eos_token_id", std::uint32_t{2})
      .add("tokenizer.chat_template", "{% for m in messages %}{{ m.content }}{% endfor %}");
}

inline void add_shape(GgufWriter& writer, const TinyModel& model) {
  std::map<std::string, std::uint32_t> numbers = {
      {".block_count", model.layers},         {".context_length", model.context},
      {".embedding_length", model.hidden()},  {".feed_forward_length", model.feed_forward},
      {".attention.head_count", model.heads}, {".attention.head_count_kv", model.kv_heads},
  };
  std::map<std::string, std::uint32_t> keys;
  for (const auto& [key, value] : numbers) keys[model.architecture + key] = value;
  for (const auto& [key, value] : model.numbers) keys[key] = value;
  writer.add("general.architecture", model.architecture)
      .add("general.license", "apache-2.0")
      .add(model.architecture + ".attention.layer_norm_rms_epsilon", 1e-5F)
      .add(model.architecture + ".rope.freq_base", 1000.0F);
  for (const auto& [key, value] : keys) writer.add(key, value);
  for (const auto& [key, value] : model.texts) writer.add(key, value);
}

}  // namespace detail

/// Makes the file. The same model gives the same bytes.
inline GgufWriter tiny_gguf(const TinyModel& model) {
  GgufWriter writer;
  detail::add_shape(writer, model);
  detail::add_tokenizer(writer, model.vocabulary);
  detail::Random random(7);
  const auto add = [&](const std::string& name, std::vector<std::uint64_t> shape, GgmlType type,
                       float mean, float spread) {
    std::size_t count = 1;
    for (const auto size : shape) count *= size;
    const auto values = random.values(count, mean, spread);
    if (name != model.left_out) writer.add_tensor(name, std::move(shape), type, values);
  };
  const auto matrix = [&](const std::string& name, std::uint64_t columns, std::uint64_t rows) {
    // A spread that keeps the stream's size from layer to layer; the mean exercises minima.
    const auto type = name.ends_with("attn_v") ? model.value_type.value_or(model.type) : model.type;
    add(name + ".weight", {columns, rows}, type, 0.01F,
        1.5F / std::sqrt(static_cast<float>(columns)));
    if (model.has_biases) add(name + ".bias", {rows}, GgmlType::kF32, 0.0F, 0.3F);
  };
  const std::uint64_t hidden = model.hidden();
  const std::uint64_t kv_rows = std::uint64_t{model.kv_heads} * model.head_dim;
  add("token_embd.weight", {hidden, model.vocabulary}, model.table_type, 0.0F, 1.0F);
  for (std::uint32_t layer = 0; layer < model.layers; ++layer) {
    const auto prefix = "blk." + std::to_string(layer) + ".";
    add(prefix + "attn_norm.weight", {hidden}, GgmlType::kF32, 1.0F, 0.2F);
    matrix(prefix + "attn_q", hidden, hidden);
    matrix(prefix + "attn_k", hidden, kv_rows);
    matrix(prefix + "attn_v", hidden, kv_rows);
    matrix(prefix + "attn_output", hidden, hidden);
    add(prefix + "ffn_norm.weight", {hidden}, GgmlType::kF32, 1.0F, 0.2F);
    matrix(prefix + "ffn_gate", hidden, model.feed_forward);
    matrix(prefix + "ffn_up", hidden, model.feed_forward);
    matrix(prefix + "ffn_down", model.feed_forward, hidden);
  }
  add("output_norm.weight", {hidden}, GgmlType::kF32, 1.0F, 0.2F);
  if (!model.is_tied) {
    add("output.weight", {hidden, model.vocabulary}, model.table_type, 0.0F, 0.2F);
  }
  if (!model.extra.empty()) add(model.extra, {1}, GgmlType::kF32, 0.0F, 1.0F);
  return writer;
}

}  // namespace onnxlocal::test
