#include "runtime/paged_model.h"

#include <functional>
#include <map>

#include <gmock/gmock.h>
#include <onnx/onnx_pb.h>

#include "model/onnx_file.h"
#include "runtime/test_models.h"

namespace onnxlocal {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class PagedModelTest : public ::testing::Test {
 protected:
  Result<PagedModel> make(const std::string& name,
                          const std::function<void(onnx::ModelProto&)>& change = {}) const {
    const ModelFolder folder = testing::read_folder(testing::tiny_model(name));
    onnx::ModelProto model;
    EXPECT_TRUE(read_onnx_file(folder.model_file(), model).has_value());
    if (change) change(model);
    return make_paged_model(model, folder.config, folder.path);
  }
  onnx::GraphProto graph_of(const std::string& name) const {
    const auto paged = make(name);
    EXPECT_TRUE(paged.has_value()) << describe(paged.error());
    onnx::ModelProto model;
    EXPECT_TRUE(paged && model.ParseFromString(paged->bytes));
    return model.graph();
  }
  std::string refusal(const std::function<void(onnx::ModelProto&)>& change,
                      const std::string& name = "tiny_onnx") const {
    const auto paged = make(name, change);
    EXPECT_FALSE(paged.has_value());
    if (paged) return {};
    EXPECT_EQ(paged.error().code, ErrorCode::kUnsupported);
    return paged.error().message;
  }
};

template <class Values>
std::vector<std::string> names_of(const Values& values) {
  std::vector<std::string> names;
  for (const auto& value : values) names.push_back(value.name());
  return names;
}

onnx::NodeProto& attention_of(onnx::ModelProto& model) {
  for (onnx::NodeProto& node : *model.mutable_graph()->mutable_node()) {
    if (node.op_type() == "GroupQueryAttention") return node;
  }
  return *model.mutable_graph()->mutable_node(0);
}

void add_attribute(onnx::NodeProto& node, const char* name, std::int64_t value) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(onnx::AttributeProto::INT);
  attribute.set_i(value);
}

TEST_F(PagedModelTest, HasTheCacheAsOneInputAndOneOutput) {
  const onnx::GraphProto graph = graph_of("tiny_onnx");
  EXPECT_THAT(names_of(graph.input()), UnorderedElementsAre("input_ids", kPagesInput, kStartsInput,
                                                            kPastInput, kTableInput, kRowsInput));
  EXPECT_THAT(names_of(graph.output()), UnorderedElementsAre("logits", kPagesOutput));
}

TEST_F(PagedModelTest, ChainsTheCacheFromLayerToLayer) {
  const onnx::GraphProto graph = graph_of("tiny_onnx");
  std::vector<std::string> pages;
  for (const onnx::NodeProto& node : graph.node()) {
    if (node.op_type() != kPagedAttentionOp) continue;
    EXPECT_EQ(node.domain(), kPagedDomain);
    pages.push_back(node.input(3));
    pages.push_back(node.output(1));
    std::map<std::string, std::int64_t> attributes;
    for (const auto& attribute : node.attribute()) attributes[attribute.name()] = attribute.i();
    EXPECT_EQ(attributes["head_dim"], 16);
    EXPECT_EQ(attributes["layer"], static_cast<std::int64_t>(pages.size() / 2 - 1));
    EXPECT_EQ(attributes["layers"], 2);
  }
  ASSERT_EQ(pages.size(), 4U);
  EXPECT_EQ(pages[0], kPagesInput);
  EXPECT_EQ(pages[1], pages[2]);
  EXPECT_EQ(pages[3], kPagesOutput);
}

TEST_F(PagedModelTest, DropsWhatOnlyTheMaskFed) {
  const onnx::GraphProto graph = graph_of("tiny_onnx");
  std::vector<std::string> ops;
  for (const onnx::NodeProto& node : graph.node()) ops.push_back(node.op_type());
  EXPECT_THAT(ops, Not(Contains("ReduceSum")));
  EXPECT_THAT(ops, Not(Contains("Shape")));
  EXPECT_THAT(names_of(graph.initializer()), Not(Contains("one")));
  EXPECT_THAT(names_of(graph.initializer()), Not(Contains("logits_positions")));
}

TEST_F(PagedModelTest, GathersTheWantedRowsBeforeTheOutputMatrixOfAnyGraph) {
  const onnx::GraphProto graph = graph_of("tiny_onnx_foreign");
  std::vector<std::string> tail;
  for (const onnx::NodeProto& node : graph.node()) tail.push_back(node.op_type());
  // Transpose (the tied embedding) stands before the matrix product that reads it.
  tail.erase(tail.begin(), tail.end() - 4);
  EXPECT_THAT(tail, UnorderedElementsAre("Transpose", "Gather", "MatMul", "Cast"));
  EXPECT_EQ(tail[2], "MatMul");
  EXPECT_EQ(make("tiny_onnx_foreign")->logits_type, onnx::TensorProto::FLOAT16);
}

TEST_F(PagedModelTest, TakesItsSizesFromTheGraph) {
  const auto paged = make("tiny_onnx_q4");
  ASSERT_TRUE(paged.has_value());
  EXPECT_EQ(paged->geometry.layers, 2U);
  EXPECT_EQ(paged->geometry.kv_heads, 2U);
  EXPECT_EQ(paged->geometry.head_dim, 16U);
  EXPECT_EQ(paged->vocabulary_size, 259U);
  EXPECT_FALSE(paged->has_position_ids);
}

TEST_F(PagedModelTest, KeepsThePositionsThatARotationOfItsOwnReads) {
  const auto paged = make("tiny_onnx", [](onnx::ModelProto& model) {
    onnx::GraphProto& graph = *model.mutable_graph();
    onnx::ValueInfoProto& positions = *graph.add_input();
    positions = graph.input(0);
    positions.set_name("position_ids");
    onnx::NodeProto& attention = attention_of(model);
    int place = 0;
    while (&graph.node(place) != &attention) ++place;
    onnx::NodeProto rotation;
    rotation.set_op_type("RotaryEmbedding");
    rotation.set_domain("com.microsoft");
    for (const std::string& name : {attention.input(0), std::string("position_ids"),
                                    attention.input(7), attention.input(8)}) {
      rotation.add_input(name);
    }
    rotation.add_output("rotated");
    attention.set_input(0, "rotated");
    *graph.add_node() = rotation;
    for (int i = graph.node_size() - 1; i > place; --i) {
      graph.mutable_node()->SwapElements(i, i - 1);
    }
  });
  ASSERT_TRUE(paged.has_value()) << describe(paged.error());
  EXPECT_TRUE(paged->has_position_ids);
}

TEST_F(PagedModelTest, TellsRotationsApart) {
  const auto plain = make("tiny_onnx");
  const auto other = make("tiny_onnx", [](onnx::ModelProto& model) {
    for (onnx::NodeProto& node : *model.mutable_graph()->mutable_node()) {
      if (node.op_type() == "GroupQueryAttention") add_attribute(node, "rotary_interleaved", 1);
    }
  });
  ASSERT_TRUE(plain && other);
  EXPECT_EQ(plain->rope_id, make("tiny_onnx_q4")->rope_id);
  EXPECT_NE(plain->rope_id, other->rope_id);
}

TEST_F(PagedModelTest, RefusesWhatItsAttentionIsNotAndSaysWhy) {
  EXPECT_THAT(refusal({}, "tiny_onnx_growing"), HasSubstr("no GroupQueryAttention"));
  EXPECT_THAT(refusal([](auto& model) { add_attribute(attention_of(model), "smooth_softmax", 1); }),
              HasSubstr("smooth_softmax"));
  EXPECT_THAT(refusal([](auto& model) {
                attention_of(model).add_input("");
                attention_of(model).add_input("bias");
              }),
              HasSubstr("an attention bias"));
  EXPECT_THAT(
      refusal([](auto& model) {
        for (auto& input : *model.mutable_graph()->mutable_input()) {
          if (input.name().starts_with("past")) {
            input.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT16);
          }
        }
      }),
      HasSubstr("another type than float32"));
  EXPECT_THAT(refusal([](auto& model) {
                for (auto& attribute : *attention_of(model).mutable_attribute()) {
                  if (attribute.name() == "kv_num_heads") attribute.set_i(4);
                }
              }),
              HasSubstr("other key/value heads"));
}

TEST_F(PagedModelTest, RefusesOperatorsThatMightMixSequences) {
  EXPECT_THAT(refusal([](auto& model) {
                for (auto& node : *model.mutable_graph()->mutable_node()) {
                  if (node.op_type() == "Sigmoid") node.set_op_type("CumSum");
                }
              }),
              HasSubstr("CumSum"));
  EXPECT_THAT(refusal([](auto& model) {
                for (auto& node : *model.mutable_graph()->mutable_node()) {
                  if (node.op_type() == "Sigmoid") node.set_input(0, "attention_mask");
                }
              }),
              HasSubstr("attention_mask"));
}

TEST_F(PagedModelTest, RefusesAGraphWithoutAnOutputMatrix) {
  EXPECT_THAT(refusal(
                  [](auto& model) {
                    for (auto& node : *model.mutable_graph()->mutable_node()) {
                      if (node.output(0) == "logits") node.set_op_type("Softmax");
                    }
                  },
                  "tiny_onnx_foreign"),
              HasSubstr("no output matrix"));
}

}  // namespace
}  // namespace onnxlocal
