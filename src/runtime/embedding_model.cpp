#include "runtime/embedding_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/log.h"
#include "runtime/embedding_pooling.h"
#include "runtime/execution_providers.h"
#include "runtime/graph_ports.h"
#include "runtime/open_session.h"
#include "runtime/ort_error.h"
#include "runtime/own_provider.h"

namespace onnxlocal {

namespace {

using Rows = std::span<const std::vector<TokenId>>;

constexpr std::string_view kIds = "input_ids";
constexpr std::string_view kMask = "attention_mask";
constexpr std::string_view kTypes = "token_type_ids";
constexpr std::string_view kPositions = "position_ids";
constexpr std::string_view kPast = "past";

bool is_known_input(const Port& port) {
  if (port.name.starts_with(kPast)) {
    return port.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ||
           port.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
  }
  const bool is_named =
      port.name == kIds || port.name == kMask || port.name == kTypes || port.name == kPositions;
  return is_named && port.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
}

/// The rows' elements for one input, [rows, width].
std::vector<std::int64_t> values_of(const Port& port, Rows rows, std::size_t width,
                                    TokenId padding) {
  std::vector<std::int64_t> values(rows.size() * width, port.name == kIds ? padding : 0);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto begin = values.begin() + static_cast<std::ptrdiff_t>(row * width);
    for (std::size_t i = 0; i < rows[row].size(); ++i) {
      std::int64_t& value = begin[static_cast<std::ptrdiff_t>(i)];
      if (port.name == kIds) value = rows[row][i];
      if (port.name == kMask) value = 1;
      if (port.name == kPositions) value = static_cast<std::int64_t>(i);
    }
  }
  return values;
}

/// Keys or values of no token.
Ort::Value empty_past(const Port& port, std::size_t rows,
                      Ort::AllocatorWithDefaultOptions& memory) {
  std::vector<std::int64_t> shape = port.shape;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] < 0) shape[i] = i == 0 ? static_cast<std::int64_t>(rows) : 0;
  }
  return Ort::Value::CreateTensor(memory, shape.data(), shape.size(), port.type);
}

std::vector<float> floats_of(const Ort::Value& value) {
  const auto info = value.GetTensorTypeAndShapeInfo();
  const std::size_t count = info.GetElementCount();
  if (info.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
    const float* data = value.GetTensorData<float>();
    return {data, data + count};
  }
  const auto* data = value.GetTensorData<Ort::Float16_t>();
  std::vector<float> floats(count);
  std::transform(data, data + count, floats.begin(), [](Ort::Float16_t x) { return x.ToFloat(); });
  return floats;
}

}  // namespace

struct EmbeddingModel::State {
  EmbeddingConfig config;
  OpenSession open;
  std::vector<Port> inputs;
  std::string output;
  bool is_pooled = false;  ///< The output is one vector for each row.
  std::string execution_provider;
  std::uint32_t dimensions = 0;

  Result<void> choose_ports();
  Result<std::vector<std::vector<float>>> run(Rows rows);
  Result<std::vector<std::vector<float>>> vectors_of(const Ort::Value& output, Rows rows,
                                                     std::size_t width) const;
};

Result<void> EmbeddingModel::State::choose_ports() {
  try {
    inputs = inputs_of(open.session);
    for (const Port& input : inputs) {
      if (is_known_input(input)) continue;
      return std::unexpected(unsupported(
          fmt::format("the graph asks for an input '{}' that a text encoder does not have, or of "
                      "another type",
                      input.name),
          "export it with 64-bit input_ids, attention_mask and token_type_ids"));
    }
    const std::vector<Port> outputs = outputs_of(open.session);
    const auto take = [&](std::string_view name) {
      const Port* port = find_port(outputs, std::string(name));
      const bool is_there =
          port != nullptr && (port->type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ||
                              port->type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16);
      if (is_there) output = name;
      return is_there;
    };
    is_pooled = take(kSentenceOutput);
    if (is_pooled) return {};
    if (!std::ranges::any_of(kTokenOutputs, take)) {
      return std::unexpected(unsupported(
          "the graph has no output sentence_embedding, last_hidden_state or token_embeddings",
          "export it for feature extraction (optimum: --task feature-extraction)"));
    }
    if (config.foreign_step.empty()) return {};
    return std::unexpected(unsupported(
        fmt::format("the model's step {} is not in its graph", config.foreign_step),
        "export it with the output sentence_embedding (optimum: --library sentence_transformers)"));
  } catch (const Ort::Exception& exception) {
    return std::unexpected(to_error("the graph's inputs", exception));
  }
}

Result<std::vector<std::vector<float>>> EmbeddingModel::State::vectors_of(const Ort::Value& value,
                                                                          Rows rows,
                                                                          std::size_t width) const {
  const auto shape = value.GetTensorTypeAndShapeInfo().GetShape();
  const std::vector<float> all = floats_of(value);
  const bool has_shape = shape.size() == (is_pooled ? 2U : 3U) &&
                         std::cmp_equal(shape[0], rows.size()) &&
                         (is_pooled || std::cmp_equal(shape[1], width)) && shape.back() > 0;
  if (!has_shape) {
    return std::unexpected(
        model_corrupt(fmt::format("{}: expected one vector for each {}, found the shape [{}]",
                                  output, is_pooled ? "row" : "token", fmt::join(shape, ", "))));
  }
  const auto size = static_cast<std::size_t>(shape.back());
  const std::size_t row_size = is_pooled ? size : width * size;
  std::vector<std::vector<float>> vectors;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const std::size_t tokens = is_pooled ? 1 : rows[row].size();
    const auto hidden = std::span(all).subspan(row * row_size, tokens * size);
    vectors.push_back(pool(hidden, size, config.pooling));
    if (config.normalizes) normalize(vectors.back());
    if (!std::ranges::all_of(vectors.back(), [](float x) { return std::isfinite(x); })) {
      return std::unexpected(internal_error("the model gave a vector of what is no number"));
    }
  }
  return vectors;
}

Result<std::vector<std::vector<float>>> EmbeddingModel::State::run(Rows rows) {
  std::size_t width = 0;
  for (const auto& row : rows) width = std::max(width, row.size());
  const std::array<std::int64_t, 2> shape = {static_cast<std::int64_t>(rows.size()),
                                             static_cast<std::int64_t>(width)};
  try {
    Ort::AllocatorWithDefaultOptions memory;
    const auto cpu = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    std::vector<std::vector<std::int64_t>> kept;  // Tensors borrow their values.
    kept.reserve(inputs.size());
    std::vector<Ort::Value> values;
    std::vector<const char*> names;
    for (const Port& input : inputs) {
      names.push_back(input.name.c_str());
      if (input.name.starts_with(kPast)) {
        values.push_back(empty_past(input, rows.size(), memory));
        continue;
      }
      auto& elements = kept.emplace_back(values_of(input, rows, width, config.pad_token));
      values.push_back(Ort::Value::CreateTensor<std::int64_t>(cpu, elements.data(), elements.size(),
                                                              shape.data(), shape.size()));
    }
    const char* output_name = output.c_str();
    const auto outputs = open.session.Run(Ort::RunOptions{nullptr}, names.data(), values.data(),
                                          values.size(), &output_name, 1);
    return vectors_of(outputs.front(), rows, width);
  } catch (const Ort::Exception& exception) {
    return std::unexpected(to_error("the embedding model", exception));
  }
}

EmbeddingModel::EmbeddingModel(std::unique_ptr<State> state) : state_(std::move(state)) {}
EmbeddingModel::~EmbeddingModel() = default;

Result<std::unique_ptr<EmbeddingModel>> EmbeddingModel::load(const EmbeddingFolder& folder,
                                                             const RuntimeOptions& options,
                                                             const std::stop_token& stop) {
  std::vector<ExecutionProviderChoice> choices = options.execution_providers.empty()
                                                     ? default_execution_providers()
                                                     : options.execution_providers;
  std::erase_if(choices, is_own_provider);
  if (choices.empty()) choices.push_back({.name = "cpu", .options = {}, .library = {}});
  std::vector<std::string> reasons;
  Error last;
  for (const ExecutionProviderChoice& choice : choices) {
    const auto attempt = [&]() -> Result<std::unique_ptr<State>> {
      TRY(OpenSession open, open_session(folder.model_file(), choice, options, stop));
      auto state = std::make_unique<State>(State{.config = folder.config,
                                                 .open = std::move(open),
                                                 .inputs = {},
                                                 .output = {},
                                                 .execution_provider = choice.name});
      TRY_VOID(state->choose_ports());
      const std::vector<std::vector<TokenId>> first = {{0}};
      TRY(const auto vectors, state->run(first));
      state->dimensions = static_cast<std::uint32_t>(vectors.front().size());
      return state;
    };
    auto state = attempt();
    if (state) {
      return std::unique_ptr<EmbeddingModel>(new EmbeddingModel(*std::move(state)));
    }
    last = std::move(state).error();
    if (last.code == ErrorCode::kCancelled) break;
    reasons.push_back(fmt::format("execution provider {}: {}", choice.name, last.message));
    LOG_WARNING("{}: {}", folder.name, reasons.back());
  }
  // What the last provider says of the model itself is the answer.
  if (last.code != ErrorCode::kInternal && last.code != ErrorCode::kUnavailable) {
    return std::unexpected(std::move(last));
  }
  return std::unexpected(unavailable(
      fmt::format("no execution provider runs {}: {}", folder.name, fmt::join(reasons, "; ")),
      last.hint));
}

Result<std::vector<std::vector<float>>> EmbeddingModel::embed(Rows rows) {
  return rows.empty() ? Result<std::vector<std::vector<float>>>() : state_->run(rows);
}

std::uint32_t EmbeddingModel::dimensions() const { return state_->dimensions; }
const std::string& EmbeddingModel::execution_provider() const { return state_->execution_provider; }

}  // namespace onnxlocal
