// Every recognised decoder through ONNX Runtime: our provider runs it as one node and gives what
// the stock CPU provider gives.
#include <gtest/gtest.h>

#include <cmath>

#include "plugin/test_graph.h"
#include "program/tiny_batch.h"
#include "program/tiny_models.h"

namespace onnxlocal::ep::testing {
namespace {

/// The stock provider rounds activations to 8 bits too, keeps keys and values in float32, and uses
/// its own sums; ours keeps them in bf16.
constexpr double kTolerance = 0.05;

ONNXTensorElementDataType ort_type(ElementType type) {
  return static_cast<ONNXTensorElementDataType>(type);
}

TestGraph to_onnx(const Graph& graph) {
  TestGraph made;
  const auto name = [&graph](ValueIndex index) {
    return index == kNoValue ? std::string() : graph.values[static_cast<std::size_t>(index)].name;
  };
  for (const auto index : graph.inputs) {
    const auto& value = graph.values[static_cast<std::size_t>(index)];
    made.input(value.name, ort_type(value.type), value.dims);
  }
  for (const auto index : graph.outputs) {
    const auto& value = graph.values[static_cast<std::size_t>(index)];
    const std::size_t rank = value.name == "logits" ? 3 : 4;
    made.output(value.name, ort_type(value.type), std::vector<std::int64_t>(rank, -1));
  }
  for (const auto& value : graph.values) {
    if (!value.constant) continue;
    const auto& bytes = value.constant->bytes;
    made.constant(value.name, {.type = ort_type(value.type),
                               .dims = value.constant->dims,
                               .bytes = {bytes.begin(), bytes.end()}});
  }
  for (const auto& node : graph.nodes) {
    std::vector<std::string> inputs;
    std::vector<std::string> outputs;
    for (const auto index : node.inputs) inputs.push_back(name(index));
    for (const auto index : node.outputs) outputs.push_back(name(index));
    std::map<std::string, TestAttribute> attributes;
    for (const auto& [key, value] : node.attributes) {
      if (const auto* integer = std::get_if<std::int64_t>(&value)) attributes[key] = *integer;
      if (const auto* number = std::get_if<float>(&value)) attributes[key] = *number;
      if (const auto* string = std::get_if<std::string>(&value)) attributes[key] = *string;
    }
    made.node(node.op, node.domain, inputs, outputs, attributes);
  }
  return made;
}

/// One sequence, step by step, through a session.
class SessionRun {
 public:
  SessionRun(Ort::Session session, const TinyModel& model)
      : session_(std::move(session)), model_(model) {
    for (std::int64_t i = 0; i < model.layers; ++i) {
      for (const std::string kind : {"past_key.", "past_value."}) {
        inputs_[kind + std::to_string(i)] =
            TestTensor::of<float>({1, model.kv_heads, 0, model.head_dim}, {});
      }
    }
  }

  std::vector<float> step(std::span<const std::int64_t> tokens) {
    const auto rows = static_cast<std::int64_t>(tokens.size());
    inputs_["input_ids"] = TestTensor::of({1, rows}, Tokens(tokens.begin(), tokens.end()));
    const auto total = past_ + rows;
    inputs_["attention_mask"] =
        TestTensor::of({1, total}, Tokens(static_cast<std::size_t>(total), 1));
    if (model_.has_outer_rotary) {
      Tokens positions;
      for (auto i = past_; i < total; ++i) positions.push_back(i);
      inputs_["position_ids"] = TestTensor::of({1, rows}, positions);
    }
    auto outputs = run(session_, inputs_);
    for (std::int64_t i = 0; i < model_.layers; ++i) {
      for (const std::string kind : {"_key.", "_value."}) {
        inputs_["past" + kind + std::to_string(i)] = outputs["present" + kind + std::to_string(i)];
      }
    }
    past_ = total;
    return outputs["logits"].values<float>();
  }

 private:
  Ort::Session session_;
  const TinyModel& model_;
  std::map<std::string, TestTensor> inputs_;
  std::int64_t past_ = 0;
};

/// The stock provider has no norms inside attention: program_test.cpp holds those.
std::vector<Named> stock_models() {
  auto models = tiny_models();
  std::erase_if(models, [](const Named& named) { return named.model.has_inner_norms; });
  return models;
}

class Parity : public ::testing::TestWithParam<Named> {};

TEST_P(Parity, OneNodeGivesWhatTheStockProviderGives) {
  const auto& model = GetParam().model;
  GraphBuilder builder;
  model.build(builder);
  const auto graph = to_onnx(builder.graph());
  auto& runtime = TestRuntime::instance();
  auto ours = graph.session(runtime.ours({{"threads", "1"}}));
  EXPECT_EQ(ours.GetEpGraphAssignmentInfo().size(), 1U) << "not one node";
  EXPECT_GT(our_nodes(ours)["GroupQueryAttention"], 0);
  SessionRun our_run(std::move(ours), model);
  SessionRun stock_run(graph.session(TestRuntime::stock()), model);
  const auto tokens = random_tokens(16, 60);
  std::vector<float> got;
  std::vector<double> wanted;
  std::size_t done = 0;
  for (const std::size_t rows : {12U, 1U, 1U, 2U}) {
    const auto part = std::span(tokens).subspan(done, rows);
    const auto a = our_run.step(part);
    const auto b = stock_run.step(part);
    got.insert(got.end(), a.begin(), a.end());
    wanted.insert(wanted.end(), b.begin(), b.end());
    done += rows;
  }
  EXPECT_LT(distance(got, wanted), kTolerance);
}

INSTANTIATE_TEST_SUITE_P(Exporters, Parity, ::testing::ValuesIn(stock_models()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace onnxlocal::ep::testing
