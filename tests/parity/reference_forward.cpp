#include "reference_forward.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "import/dequantize.h"

namespace onnxlocal::test {
namespace {

using Row = std::vector<double>;

struct Model {
  explicit Model(const GgufFile& gguf) : file(gguf) {
    architecture = std::string(file.get<std::string_view>("general.architecture").value());
    layers = number("block_count");
    hidden = number("embedding_length");
    heads = number("attention.head_count");
    kv_heads = number("attention.head_count_kv");
    head_dim = hidden / heads;
    epsilon = file.get<float>(architecture + ".attention.layer_norm_rms_epsilon").value();
    base = file.get<float>(architecture + ".rope.freq_base").value();
    window =
        file.get_or<std::uint32_t>(architecture + ".attention.sliding_window", 1U << 30U).value();
  }

  std::uint32_t number(const std::string& key) const {
    return file.get<std::uint32_t>(architecture + "." + key).value();
  }

  std::vector<float> values(const std::string& name) const {
    const auto* tensor = file.find_tensor(name);
    if (tensor == nullptr) return {};
    std::vector<float> result(tensor->value_count());
    if (!dequantize(tensor->type, tensor->data, result)) return {};
    return result;
  }

  /// name.weight times `input`, plus name.bias where there is one.
  Row product(const std::string& name, const Row& input) const {
    const auto weights = values(name + ".weight");
    const auto bias = values(name + ".bias");
    Row output(weights.size() / input.size());
    for (std::size_t row = 0; row < output.size(); ++row) {
      output[row] = bias.empty() ? 0.0 : bias[row];
      for (std::size_t column = 0; column < input.size(); ++column) {
        output[row] += double{weights[row * input.size() + column]} * input[column];
      }
    }
    return output;
  }

  Row norm(const std::string& name, const Row& input) const {
    const auto gain = values(name + ".weight");
    double squares = 0;
    for (const double value : input) squares += value * value;
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(input.size()) + epsilon);
    Row output(input.size());
    for (std::size_t i = 0; i < input.size(); ++i) output[i] = input[i] * scale * gain[i];
    return output;
  }

  /// llama rotates neighbours (2i, 2i + 1); qwen2 the halves (i, i + head_dim / 2).
  void rotate(Row& rows, std::size_t position) const {
    const bool is_interleaved = architecture == "llama";
    for (std::size_t head = 0; head < rows.size(); head += head_dim) {
      for (std::uint32_t pair = 0; pair < head_dim / 2; ++pair) {
        const double angle = static_cast<double>(position) * std::pow(base, -2.0 * pair / head_dim);
        auto& a = rows[head + (is_interleaved ? 2 * pair : pair)];
        auto& b = rows[head + (is_interleaved ? 2 * pair + 1 : pair + head_dim / 2)];
        const double turned = a * std::cos(angle) - b * std::sin(angle);
        b = a * std::sin(angle) + b * std::cos(angle);
        a = turned;
      }
    }
  }

  const GgufFile& file;
  std::string architecture;
  std::uint32_t layers;
  std::uint32_t hidden;
  std::uint32_t heads;
  std::uint32_t kv_heads;
  std::uint32_t head_dim;
  std::uint32_t window;
  double epsilon;
  double base;
};

/// Keys and values of one layer, a row for each position.
struct Cache {
  std::vector<Row> keys;
  std::vector<Row> values;
};

Row attend(const Model& model, const Row& query, const Cache& cache) {
  Row output(query.size(), 0.0);
  const std::size_t positions = cache.keys.size();
  const std::size_t first = positions > model.window ? positions - model.window : 0;
  for (std::uint32_t head = 0; head < model.heads; ++head) {
    const std::size_t at = std::size_t{head} * model.head_dim;
    const std::size_t kv_at = std::size_t{head / (model.heads / model.kv_heads)} * model.head_dim;
    Row weights(positions, 0.0);
    double most = -INFINITY;
    for (std::size_t p = first; p < positions; ++p) {
      for (std::uint32_t i = 0; i < model.head_dim; ++i) {
        weights[p] += query[at + i] * cache.keys[p][kv_at + i];
      }
      weights[p] /= std::sqrt(static_cast<double>(model.head_dim));
      most = std::max(most, weights[p]);
    }
    double sum = 0;
    for (std::size_t p = first; p < positions; ++p) {
      weights[p] = std::exp(weights[p] - most);
      sum += weights[p];
    }
    for (std::size_t p = first; p < positions; ++p) {
      for (std::uint32_t i = 0; i < model.head_dim; ++i) {
        output[at + i] += weights[p] / sum * cache.values[p][kv_at + i];
      }
    }
  }
  return output;
}

void add(Row& to, const Row& what) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += what[i];
}

void run_layer(const Model& model, std::uint32_t layer, std::size_t position, Cache& cache,
               Row& stream) {
  const auto prefix = "blk." + std::to_string(layer) + ".";
  const auto input = model.norm(prefix + "attn_norm", stream);
  auto query = model.product(prefix + "attn_q", input);
  auto key = model.product(prefix + "attn_k", input);
  model.rotate(query, position);
  model.rotate(key, position);
  cache.keys.push_back(std::move(key));
  cache.values.push_back(model.product(prefix + "attn_v", input));
  add(stream, model.product(prefix + "attn_output", attend(model, query, cache)));

  const auto normed = model.norm(prefix + "ffn_norm", stream);
  auto gate = model.product(prefix + "ffn_gate", normed);
  const auto up = model.product(prefix + "ffn_up", normed);
  for (std::size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1.0 + std::exp(-gate[i]));
  add(stream, model.product(prefix + "ffn_down", gate));
}

}  // namespace

std::vector<double> reference_logits(const GgufFile& file, std::span<const TokenId> tokens) {
  const Model model(file);
  const auto table = model.values("token_embd.weight");
  const bool is_tied = file.find_tensor("output.weight") == nullptr;
  std::vector<Cache> caches(model.layers);
  std::vector<double> logits;
  for (std::size_t position = 0; position < tokens.size(); ++position) {
    const auto row = static_cast<std::size_t>(tokens[position]) * model.hidden;
    Row stream(table.begin() + static_cast<std::ptrdiff_t>(row),
               table.begin() + static_cast<std::ptrdiff_t>(row + model.hidden));
    for (std::uint32_t layer = 0; layer < model.layers; ++layer) {
      run_layer(model, layer, position, caches[layer], stream);
    }
    const auto normed = model.norm("output_norm", stream);
    const auto last = model.product(is_tied ? "token_embd" : "output", normed);
    logits.insert(logits.end(), last.begin(), last.end());
  }
  return logits;
}

}  // namespace onnxlocal::test
