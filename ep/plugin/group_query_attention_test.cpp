// Attention of our provider against the stock one's, as a single node and as a whole graph. Keys
// and values are rounded to bfloat16 in ours, which is what the tolerance is for.

#include <algorithm>

#include "cpu/instruction_set.h"
#include "plugin/test_attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace onnxlocal::ep {
namespace {

using testing::HasSubstr;

constexpr auto kFloat = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
constexpr auto kInt = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;

/// A first prompt of `first` rows, then `second` rows over it: outputs of both.
std::vector<Tensors> two_steps(Ort::Session& session, const Heads& heads, std::int32_t first,
                               std::int32_t second) {
  Tensors inputs = cut(heads, packed_rows(heads, first, 1), 1);
  inputs.emplace("pk", no_past(heads, 1));
  inputs.emplace("pv", no_past(heads, 1));
  inputs.emplace("lengths", TestTensor::of<std::int32_t>({1}, {first - 1}));
  inputs.emplace("total", TestTensor::of<std::int32_t>({}, {first}));
  std::vector<Tensors> outputs{run(session, inputs)};
  inputs = cut(heads, packed_rows(heads, second, 2), 1);
  inputs.emplace("pk", outputs[0].at("ok"));
  inputs.emplace("pv", outputs[0].at("ov"));
  inputs.emplace("lengths", TestTensor::of<std::int32_t>({1}, {first + second - 1}));
  inputs.emplace("total", TestTensor::of<std::int32_t>({}, {first + second}));
  outputs.push_back(run(session, inputs));
  return outputs;
}

void expect_same_steps(const Heads& heads, const std::map<std::string, std::string>& options) {
  const TestGraph graph = group_query_graph(heads);
  Ort::Session ours = graph.session(TestRuntime::instance().ours(options));
  Ort::Session stock = graph.session(TestRuntime::stock());
  ASSERT_EQ(our_nodes(ours)["GroupQueryAttention"], 1);
  for (const std::int32_t second : {1, 5}) {
    const auto actual = two_steps(ours, heads, 37, second);
    const auto expected = two_steps(stock, heads, 37, second);
    for (std::size_t step = 0; step < 2; ++step) {
      for (const auto& [name, tensor] : expected[step]) {
        EXPECT_EQ(actual[step].at(name).dims, tensor.dims);
        const double error =
            relative_error(actual[step].at(name).values<float>(), tensor.values<float>());
        EXPECT_LT(error, name == "o" ? kBf16Error : 1e-6) << name << " of step " << step;
      }
    }
  }
}

/// As a single node, and as a graph that is run as a whole.
void expect_same_steps(const Heads& heads, const std::string& isa = "") {
  for (const std::string mode : {"single", "whole"}) {
    SCOPED_TRACE(mode);
    expect_same_steps(heads, {{"mode", mode}, {"isa", isa}});
  }
}

TEST(GroupQueryAttention, IsTheStockOnesPackedAndApart) {
  for (const bool is_packed : {true, false}) expect_same_steps({.is_packed = is_packed});
}

TEST(GroupQueryAttention, IsTheStockOnesForEveryWayToRotate) {
  expect_same_steps({.rotates = false});
  expect_same_steps({.is_interleaved = true});
  expect_same_steps({.rotary_half = 8});
}

TEST(GroupQueryAttention, IsTheStockOnesForEveryHeadSize) {
  for (const std::int64_t head_dim : {16, 64, 96, 128, 256}) {
    expect_same_steps({.head_dim = head_dim, .rotary_half = head_dim / 2});
  }
  expect_same_steps({.heads = 9, .kv_heads = 3});
  expect_same_steps({.heads = 2, .kv_heads = 2});
}

TEST(GroupQueryAttention, IsTheStockOnesWithAWindowASoftcapAndAScale) {
  expect_same_steps({.window = 4});
  expect_same_steps({.softcap = 5});
  expect_same_steps({.scale = 0.3F});
}

TEST(GroupQueryAttention, IsTheSameForEveryInstructionSet) {
  for (const InstructionSet set : available_instruction_sets()) {
    expect_same_steps({}, std::string(to_string(set)));
  }
}

TEST(GroupQueryAttention, WritesIntoASharedBuffer) {
  const Heads heads;
  constexpr std::int64_t kCapacity = 64;
  constexpr std::int32_t kRows = 7;
  const std::vector<std::int64_t> dims{1, heads.kv_heads, kCapacity, heads.head_dim};
  const auto count = static_cast<std::size_t>(heads.kv_width() * kCapacity);
  const TestGraph graph = group_query_graph(heads);
  std::vector<std::vector<float>> outputs;
  for (const bool is_ours : {true, false}) {
    Ort::Session session =
        graph.session(is_ours ? TestRuntime::instance().ours() : TestRuntime::stock());
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    std::vector<float> keys(count, 0.25F);
    std::vector<float> values(count, 0.5F);
    std::vector<float> rows = packed_rows(heads, kRows, 1);
    std::vector<float> out(static_cast<std::size_t>(kRows * heads.width()));
    std::int32_t length = kRows - 1;
    std::int32_t total = kRows;
    const auto bind = [&](auto& numbers, const std::vector<std::int64_t>& shape) {
      return Ort::Value::CreateTensor(memory, numbers.data(), numbers.size(), shape.data(),
                                      shape.size());
    };
    Ort::IoBinding binding(session);
    binding.BindInput("q", bind(rows, {1, kRows, heads.packed_width()}));
    binding.BindInput("pk", bind(keys, dims));
    binding.BindInput("pv", bind(values, dims));
    const std::vector<std::int64_t> one{1};
    binding.BindInput("lengths", Ort::Value::CreateTensor(memory, &length, 1, one.data(), 1));
    binding.BindInput("total", Ort::Value::CreateTensor(memory, &total, 1, nullptr, 0));
    binding.BindOutput("o", bind(out, {1, kRows, heads.width()}));
    binding.BindOutput("ok", bind(keys, dims));
    binding.BindOutput("ov", bind(values, dims));
    session.Run(Ort::RunOptions(), binding);
    EXPECT_EQ(keys.back(), 0.25F);  // Behind the rows, nothing is touched.
    EXPECT_NE(keys.front(), 0.25F);
    outputs.insert(outputs.end(), {out, keys, values});
  }
  EXPECT_LT(relative_error(outputs[0], outputs[3]), kBf16Error);
  EXPECT_LT(relative_error(outputs[1], outputs[4]), 1e-6);
  EXPECT_LT(relative_error(outputs[2], outputs[5]), 1e-6);
}

TEST(GroupQueryAttention, TakesABatchOfSeveralRowsEachOverAPast) {
  // The stock kernel refuses this; each sequence alone is what it must give.
  const Heads heads;
  const TestGraph graph = group_query_graph(heads);
  Ort::Session ours = graph.session(TestRuntime::instance().ours());
  constexpr std::int64_t kRows = 3;
  constexpr std::int64_t kPast = 9;
  const auto cache = static_cast<std::size_t>(heads.kv_width() * kPast);
  const auto step = [&](const std::vector<int>& sequences) {
    const auto batch = static_cast<std::int64_t>(sequences.size());
    std::vector<float> rows;
    std::vector<float> keys;
    std::vector<float> values;
    std::vector<std::int32_t> lengths;
    for (const int sequence : sequences) {
      const auto seed = static_cast<std::uint64_t>(10 * sequence);
      const auto append = [](std::vector<float>& all, const std::vector<float>& more) {
        all.insert(all.end(), more.begin(), more.end());
      };
      append(rows, packed_rows(heads, kRows, seed));
      append(keys, random_floats(cache, seed + 1));
      append(values, random_floats(cache, seed + 2));
      lengths.push_back(static_cast<std::int32_t>(kPast + kRows - 1 - sequence));
    }
    Tensors inputs = cut(heads, rows, batch);
    const std::vector<std::int64_t> dims{batch, heads.kv_heads, kPast, heads.head_dim};
    inputs.emplace("pk", TestTensor::of(dims, keys));
    inputs.emplace("pv", TestTensor::of(dims, values));
    inputs.emplace("lengths", TestTensor::of({batch}, lengths));
    inputs.emplace("total", TestTensor::of<std::int32_t>({}, {kPast + kRows}));
    return run(ours, inputs).at("o").values<float>();
  };
  std::vector<float> alone = step({1});
  const std::vector<float> other = step({2});
  alone.insert(alone.end(), other.begin(), other.end());
  EXPECT_EQ(step({1, 2}), alone);
}

TEST(GroupQueryAttention, RefusesLengthsThatDoNotFit) {
  const Heads heads;
  Ort::Session session =
      group_query_graph(heads).session(TestRuntime::instance().ours({{"mode", "single"}}));
  const auto error_with = [&](std::int32_t length, std::int32_t total) {
    Tensors inputs = cut(heads, packed_rows(heads, 2, 1), 1);
    inputs.emplace("pk", no_past(heads, 1));
    inputs.emplace("pv", no_past(heads, 1));
    inputs.emplace("lengths", TestTensor::of<std::int32_t>({1}, {length}));
    inputs.emplace("total", TestTensor::of<std::int32_t>({}, {total}));
    return error_of(session, inputs);
  };
  EXPECT_THAT(error_with(7, 8), HasSubstr("seqlens_k holds 7"));
  EXPECT_THAT(error_with(-3, 2), HasSubstr("seqlens_k holds -3"));
  EXPECT_THAT(error_with(1, -1), HasSubstr("total_sequence_length is -1"));
  EXPECT_THAT(error_with(1, 2), testing::IsEmpty());
}

TEST(GroupQueryAttention, IsLeftToOthersWithAHeadSink) {
  Heads heads;
  TestGraph graph;
  graph.input("q", kFloat, {-1, -1, heads.packed_width()});
  for (const char* name : {"pk", "pv"}) {
    graph.input(name, kFloat, {-1, heads.kv_heads, -1, heads.head_dim});
  }
  graph.input("lengths", kInt, {-1});
  graph.input("total", kInt, {});
  graph.constant("sink", TestTensor::of({heads.heads}, random_floats(4, 1)));
  graph.output("o", kFloat, {-1, -1, heads.width()});
  graph.node("GroupQueryAttention", "com.microsoft",
             {"q", "", "", "pk", "pv", "lengths", "total", "", "", "", "", "sink"},
             {"o", "ok", "ov"}, {{"num_heads", heads.heads}, {"kv_num_heads", heads.kv_heads}});
  const Ort::Session session = graph.session(TestRuntime::instance().ours());
  EXPECT_THAT(our_nodes(session), testing::IsEmpty());
}

}  // namespace
}  // namespace onnxlocal::ep
