// Every recognised decoder through ONNX Runtime: our provider runs it as one node and gives what
// the stock CPU provider gives.
#include <gtest/gtest.h>

#include <algorithm>
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

/// A graph's value as a tensor; floats of `type`, float16 or float32.
TestTensor tensor_of(const Value& value, ElementType type) {
  const auto& constant = *value.constant;
  if (value.type == ElementType::kFloat32 && type == ElementType::kFloat16) {
    const auto numbers = read_floats(constant);
    const std::vector<Ort::Float16_t> halves(numbers->begin(), numbers->end());
    return TestTensor::of(constant.dims, halves);
  }
  return {.type = ort_type(value.type),
          .dims = constant.dims,
          .bytes = {constant.bytes.begin(), constant.bytes.end()}};
}

/// What a graph becomes on its way to ONNX.
struct Export {
  ElementType floats = ElementType::kFloat32;
  /// Tokens up to which the graph's own tables of rotations count; beyond, an If gives others, as
  /// in models of a long context that the onnxruntime-genai builder writes. 0: no If.
  std::int64_t long_after = 0;
};

/// cos and sin by the number of tokens in the attention's mask.
void add_long_rotations(TestGraph& made, const Graph& graph, const Export& how) {
  const auto table = [&](const char* name, float factor) {
    const auto value = std::ranges::find(graph.values, name, &Value::name);
    std::vector<float> numbers = *read_floats(*value->constant);
    for (float& number : numbers) number *= factor;
    return TestTensor::of(value->constant->dims, numbers);
  };
  made.constant("mask_axis", TestTensor::of<std::int64_t>({}, {1}));
  made.constant("long_after", TestTensor::of<std::int64_t>({}, {how.long_after}));
  made.node("Shape", "", {"attention_mask"}, {"mask_dims"}, {});
  made.node("Gather", "", {"mask_dims", "mask_axis"}, {"mask_tokens"}, {});
  made.node("Greater", "", {"mask_tokens", "long_after"}, {"is_long"}, {});
  made.node("If", "", {"is_long"}, {"cos", "sin"},
            {{"then_branch",
              TestBranch{{{"cos_large", table("cos", 0.7F)}, {"sin_large", table("sin", 0.7F)}}}},
             {"else_branch",
              TestBranch{{{"cos_small", table("cos", 1)}, {"sin_small", table("sin", 1)}}}}});
}

TestGraph to_onnx(const Graph& graph, const Export& how = {}) {
  TestGraph made;
  const auto type_of = [&how](ElementType type) {
    return ort_type(type == ElementType::kFloat32 ? how.floats : type);
  };
  const auto name = [&graph](ValueIndex index) {
    return index == kNoValue ? std::string() : graph.values[static_cast<std::size_t>(index)].name;
  };
  for (const auto index : graph.inputs) {
    const auto& value = graph.values[static_cast<std::size_t>(index)];
    made.input(value.name, type_of(value.type), value.dims);
  }
  for (const auto index : graph.outputs) {
    const auto& value = graph.values[static_cast<std::size_t>(index)];
    const std::size_t rank = value.name == "logits" ? 3 : 4;
    made.output(value.name, type_of(value.type), std::vector<std::int64_t>(rank, -1));
  }
  if (how.long_after > 0) add_long_rotations(made, graph, how);
  for (const auto& value : graph.values) {
    const bool is_switched = how.long_after > 0 && (value.name == "cos" || value.name == "sin");
    if (value.constant && !is_switched) made.constant(value.name, tensor_of(value, how.floats));
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
  SessionRun(Ort::Session session, const TinyModel& model, ElementType floats)
      : session_(std::move(session)), model_(model) {
    const std::vector<std::int64_t> dims{1, model.kv_heads, 0, model.head_dim};
    for (std::int64_t i = 0; i < model.layers; ++i) {
      for (const std::string kind : {"past_key.", "past_value."}) {
        inputs_[kind + std::to_string(i)] = {.type = ort_type(floats), .dims = dims, .bytes = {}};
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
    const TestTensor& logits = outputs["logits"];
    if (logits.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) return logits.values<float>();
    std::vector<float> wide;
    for (const Ort::Float16_t half : logits.values<Ort::Float16_t>()) {
      wide.push_back(half.ToFloat());
    }
    return wide;
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

class Parity : public ::testing::TestWithParam<Named> {
 protected:
  /// How far our logits are from the stock provider's, over several steps of one sequence.
  static double distance_from_stock(const Export& how) {
    const auto& model = GetParam().model;
    GraphBuilder builder;
    model.build(builder);
    const auto graph = to_onnx(builder.graph(), how);
    auto& runtime = TestRuntime::instance();
    auto ours = graph.session(runtime.ours({{"threads", "1"}}));
    EXPECT_EQ(ours.GetEpGraphAssignmentInfo().size(), 1U) << "not one node";
    EXPECT_GT(our_nodes(ours)["GroupQueryAttention"], 0);
    SessionRun our_run(std::move(ours), model, how.floats);
    SessionRun stock_run(graph.session(TestRuntime::stock()), model, how.floats);
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
    return distance(got, wanted);
  }
};

TEST_P(Parity, OneNodeGivesWhatTheStockProviderGives) {
  EXPECT_LT(distance_from_stock({}), kTolerance);
}

/// Ours computes in float32 whatever the graph's type is.
TEST_P(Parity, GraphsInFloat16RunAsOneNode) {
  EXPECT_LT(distance_from_stock({.floats = ElementType::kFloat16}), kTolerance);
}

TEST_P(Parity, RotationsThatAnIfChoosesByLengthAreThoseOfTheStockProvider) {
  EXPECT_LT(distance_from_stock({.long_after = 13}), kTolerance);
}

INSTANTIATE_TEST_SUITE_P(Exporters, Parity, ::testing::ValuesIn(stock_models()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace onnxlocal::ep::testing
