// Every reason for which a graph is not run whole: a tiny decoder with one thing changed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <ostream>

#include "program/compiled_program.h"
#include "program/test_graph.h"

namespace onnxlocal::ep::testing {
namespace {

using ::testing::HasSubstr;

struct Refusal {
  const char* name;
  TinyModel model;
  std::function<void(Graph&)> change;
  const char* reason;
  friend std::ostream& operator<<(std::ostream& out, const Refusal& refusal) {
    return out << refusal.name;
  }
};

Node& node(Graph& graph, std::string_view op) {
  return *std::ranges::find(graph.nodes, op, &Node::op);
}

Value& value(Graph& graph, std::string_view name) {
  return *std::ranges::find(graph.values, name, &Value::name);
}

ValueIndex index(Graph& graph, std::string_view name) {
  return static_cast<ValueIndex>(&value(graph, name) - graph.values.data());
}

/// Sets an attribute of the first node of this kind.
std::function<void(Graph&)> with(std::string op, std::string attribute, Attribute to) {
  return [=](Graph& graph) { node(graph, op).attributes[attribute] = to; };
}

/// Makes a value one that a run computes: no constant and no input any more.
std::function<void(Graph&)> without_constant(std::string name) {
  return [=](Graph& graph) {
    value(graph, name).constant.reset();
    value(graph, name).is_input = false;
  };
}

std::vector<Refusal> refusals() {
  const TinyModel llama;
  const TinyModel paged{.is_paged = true};
  const std::int64_t one = 1;
  return {
      {"UnknownOperator", llama, [](Graph& g) { node(g, "Sigmoid").op = "Softmax"; },
       "an operator that the whole decoder does not have"},
      {"UnknownDomain", llama, [](Graph& g) { node(g, "MatMulNBits").domain = "else.where"; },
       "else.where.MatMulNBits"},
      {"SigmoidAlone", llama,
       [](Graph& g) {
         auto& product = *std::ranges::find_if(g.nodes, [&](const Node& n) {
           return n.op == "Mul" && n.inputs[1] == node(g, "Sigmoid").outputs[0];
         });
         product.inputs[0] = product.inputs[1];
       },
       "Sigmoid"},
      {"ThreeBits", llama, with("MatMulNBits", "bits", std::int64_t{3}), "4 and 8 bits"},
      {"Blocks16", llama, with("MatMulNBits", "block_size", std::int64_t{16}), "blocks of 32"},
      {"WrongWidth", llama, with("MatMulNBits", "K", std::int64_t{32}), "K is not"},
      {"NoRows", llama, with("MatMulNBits", "N", std::int64_t{0}), "N is missing"},
      {"PackedForOthers", llama, with("MatMulNBits", "weight_prepacked", one), "another device"},
      {"WeightsThatChange", llama, without_constant("layer0.q.quants"), "not constant"},
      {"ZeroPointsThatChange", llama, without_constant("layer0.q.zeros"), "zero points"},
      {"PermutedColumns", llama,
       [](Graph& g) {
         node(g, "MatMulNBits").inputs.resize(5, kNoValue);
         node(g, "MatMulNBits").inputs[4] = index(g, "one");
       },
       "g_idx"},
      {"GathersColumns", llama, with("GatherBlockQuantized", "gather_axis", one), "another axis"},
      {"NormOfAnotherAxis", llama, with("SimplifiedLayerNormalization", "axis", one),
       "another axis"},
      {"NormThatChanges", llama, without_constant("layer0.attention_norm.weight"), "weight"},
      {"HeadsThatDoNotFit", llama, with("GroupQueryAttention", "kv_num_heads", std::int64_t{3}),
       "numbers of heads"},
      {"HeadsOf8", {.head_dim = 8}, {}, "multiples of 16"},
      {"HeadsOf320", {.head_dim = 320}, {}, "multiples of 16"},
      {"SmoothSoftmax", llama, with("GroupQueryAttention", "smooth_softmax", one),
       "smooth_softmax"},
      {"WindowSizedCache", llama, with("GroupQueryAttention", "sliding_window_cache", one),
       "sliding_window_cache"},
      {"QuantizedCache", llama,
       with("GroupQueryAttention", "k_quant_type", std::string("PER_TENSOR")), "k_quant_type"},
      {"AttentionBias", llama,
       [](Graph& g) {
         node(g, "GroupQueryAttention").inputs.resize(11, kNoValue);
         node(g, "GroupQueryAttention").inputs[10] = index(g, "one");
       },
       "attention bias"},
      {"RotationWithoutTables", llama, without_constant("cos"), "cosines"},
      {"CacheOfAnotherType", {.cache_type = ElementType::kBfloat16}, {}, "float32 or float16"},
      {"CacheThatIsNoOutput", llama,
       [](Graph& g) {
         std::erase(g.outputs, index(g, "present_key.0"));
         value(g, "present_key.0").is_output = false;
       },
       "outputs"},
      {"CacheWithTwoUses", llama,
       [](Graph& g) {
         for (auto& n : g.nodes) {
           if (n.op == "GroupQueryAttention") n.inputs[3] = index(g, "past_key.0");
         }
       },
       "another use"},
      {"LengthsThatAreNoIntegers", llama,
       [](Graph& g) { value(g, "attention_mask").type = ElementType::kFloat32; }, "integers"},
      {"SumOverRows", llama,
       [](Graph& g) { node(g, "ReduceSum").inputs[1] = index(g, "layer_zero"); }, "last axis"},
      {"PagesThatAreNoOutput", paged,
       [](Graph& g) {
         std::erase(g.outputs, index(g, "pages_out"));
         value(g, "pages_out").is_output = false;
       },
       "are no output"},
      {"LayerBeyondLayers", paged, with("PagedGroupQueryAttention", "layer", std::int64_t{2}),
       "its layer"},
      {"PagesOfFourBits", paged, with("PagedGroupQueryAttention", "kv_bits", std::int64_t{4}),
       "neither 16 nor 8"},
      {"WrongHeadSize", paged, with("PagedGroupQueryAttention", "head_dim", std::int64_t{32}),
       "head_dim"},
      {"PagesFromNowhere", paged, without_constant("pages"), "pages"},
      {"OutputOfIntegers", llama,
       [](Graph& g) {
         g.outputs.push_back(index(g, "seqlens_k"));
         value(g, "seqlens_k").is_output = true;
       },
       "is not rows of numbers"},
      {"OutputOfAnotherType", llama,
       [](Graph& g) { value(g, "logits").type = ElementType::kBfloat16; }, "neither float32"},
      {"RotatedQueriesUsedTwice", llama,
       [](Graph& g) {
         g.outputs.push_back(index(g, "layer0.q"));
         value(g, "layer0.q").is_output = true;
         value(g, "layer0.q").type = ElementType::kFloat32;
       },
       "another use"},
      {"UnknownReshape",
       {.has_head_norms = true},
       [](Graph& g) {
         const auto reshape = static_cast<std::size_t>(value(g, "layer0.q.heads").producer);
         g.nodes[reshape].inputs[1] = index(g, "table_shape");
       },
       "unknown way"},
      {"CastToBytes", llama, with("Cast", "to", std::int64_t{2}), "casts"},
      {"UnknownGelu",
       {.activation = "gelu"},
       with("Gelu", "approximate", std::string("none ")),
       "approximation"},
      {"SplitOfRows", {.has_fused_gate_up = true}, with("Split", "axis", one), "another axis"},
  };
}

class Refusals : public ::testing::TestWithParam<Refusal> {};

TEST_P(Refusals, SayWhatStandsInTheWay) {
  const auto& refusal = GetParam();
  GraphBuilder builder;
  refusal.model.build(builder);
  builder.integers("layer_zero", {0}, {1});
  auto& graph = builder.graph();
  if (refusal.change) refusal.change(graph);
  connect(graph);
  const auto why = why_not_whole(graph);
  EXPECT_NE(why, "");
  EXPECT_THAT(why, HasSubstr(refusal.reason));
}

INSTANTIATE_TEST_SUITE_P(All, Refusals, ::testing::ValuesIn(refusals()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Refusal, AGraphWithoutAttentionIsNoDecoder) {
  GraphBuilder builder;
  builder.input("tokens", ElementType::kInt64, {-1, -1});
  builder.random_floats("table", {10, 16}, 0, 1);
  builder.node("Gather", {"table", "tokens"}, {"rows"});
  builder.output("rows", ElementType::kFloat32);
  EXPECT_THAT(why_not_whole(builder.graph()), HasSubstr("no attention"));
}

TEST(Refusal, NothingStandsInTheWayOfADecoder) {
  GraphBuilder builder;
  TinyModel().build(builder);
  EXPECT_EQ(why_not_whole(builder.graph()), "");
}

}  // namespace
}  // namespace onnxlocal::ep::testing
