#pragma once

// For tests of attention: shapes, rotary tables, and the graph of the standard operator.

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "plugin/test_graph.h"

namespace onnxlocal::ep {

using Tensors = std::map<std::string, TestTensor>;

inline constexpr std::int64_t kPositions = 256;
/// Keys and values are rounded to bfloat16.
inline constexpr double kBf16Error = 0.02;

struct Heads {
  std::int64_t heads = 4;
  std::int64_t kv_heads = 2;
  std::int64_t head_dim = 32;
  bool rotates = true;
  bool is_interleaved = false;
  bool is_packed = true;
  std::int64_t rotary_half = 16;
  std::int64_t window = -1;
  float softcap = 0;
  float scale = 0;

  std::int64_t width() const { return heads * head_dim; }
  std::int64_t kv_width() const { return kv_heads * head_dim; }
  std::int64_t packed_width() const { return width() + 2 * kv_width(); }
};

inline std::vector<float> angles(const Heads& heads, bool is_cos) {
  std::vector<float> table;
  for (std::int64_t position = 0; position < kPositions; ++position) {
    for (std::int64_t i = 0; i < heads.rotary_half; ++i) {
      const double exponent = static_cast<double>(i) / static_cast<double>(heads.rotary_half);
      const double angle = static_cast<double>(position) / std::pow(10000.0, exponent);
      table.push_back(static_cast<float>(is_cos ? std::cos(angle) : std::sin(angle)));
    }
  }
  return table;
}

inline std::map<std::string, TestAttribute> attributes_of(const Heads& heads) {
  return {{"num_heads", heads.heads},
          {"kv_num_heads", heads.kv_heads},
          {"do_rotary", std::int64_t{heads.rotates}},
          {"rotary_interleaved", std::int64_t{heads.is_interleaved}},
          {"local_window_size", heads.window},
          {"softcap", heads.softcap},
          {"scale", heads.scale}};
}

inline void add_tables(TestGraph& graph, const Heads& heads) {
  graph.constant("cos", TestTensor::of({kPositions, heads.rotary_half}, angles(heads, true)));
  graph.constant("sin", TestTensor::of({kPositions, heads.rotary_half}, angles(heads, false)));
}

inline TestGraph group_query_graph(const Heads& heads) {
  TestGraph graph;
  if (heads.is_packed) {
    graph.input("q", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {-1, -1, heads.packed_width()});
  } else {
    graph.input("q", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {-1, -1, heads.width()});
    graph.input("k", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {-1, -1, heads.kv_width()});
    graph.input("v", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {-1, -1, heads.kv_width()});
  }
  for (const char* name : {"pk", "pv", "ok", "ov"}) {
    const std::vector<std::int64_t> dims{-1, heads.kv_heads, -1, heads.head_dim};
    if (name[0] == 'p') graph.input(name, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, dims);
    if (name[0] == 'o') graph.output(name, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, dims);
  }
  graph.input("lengths", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, {-1});
  graph.input("total", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, {});
  graph.output("o", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, {-1, -1, heads.width()});
  add_tables(graph, heads);
  std::vector<std::string> inputs{
      "q", heads.is_packed ? "" : "k", heads.is_packed ? "" : "v", "pk", "pv", "lengths", "total"};
  if (heads.rotates) inputs.insert(inputs.end(), {"cos", "sin"});
  graph.node("GroupQueryAttention", "com.microsoft", inputs, {"o", "ok", "ov"},
             attributes_of(heads));
  return graph;
}

/// Packed rows [1, rows, packed_width] cut into query, key and value.
inline Tensors cut(const Heads& heads, const std::vector<float>& packed, std::int64_t batch) {
  const auto width = static_cast<std::size_t>(heads.packed_width());
  const std::int64_t rows = static_cast<std::int64_t>(packed.size() / width) / batch;
  if (heads.is_packed) return {{"q", TestTensor::of({batch, rows, heads.packed_width()}, packed)}};
  std::map<std::string, std::vector<float>> parts;
  for (std::size_t row = 0; row < packed.size() / width; ++row) {
    const auto* from = packed.data() + row * width;
    for (const auto& [name, length] :
         {std::pair{"q", heads.width()}, {"k", heads.kv_width()}, {"v", heads.kv_width()}}) {
      parts[name].insert(parts[name].end(), from, from + length);
      from += length;
    }
  }
  return {{"q", TestTensor::of({batch, rows, heads.width()}, parts["q"])},
          {"k", TestTensor::of({batch, rows, heads.kv_width()}, parts["k"])},
          {"v", TestTensor::of({batch, rows, heads.kv_width()}, parts["v"])}};
}

inline std::vector<float> packed_rows(const Heads& heads, std::int64_t rows, std::uint64_t seed) {
  return random_floats(static_cast<std::size_t>(rows * heads.packed_width()), seed);
}

inline TestTensor no_past(const Heads& heads, std::int64_t batch) {
  return TestTensor::of<float>({batch, heads.kv_heads, 0, heads.head_dim}, {});
}

/// What is wrong with the inputs, as the run says it; empty where nothing is.
inline std::string error_of(Ort::Session& session, const Tensors& inputs) {
  try {
    run(session, inputs);
  } catch (const Ort::Exception& error) {
    return error.what();
  }
  return {};
}

}  // namespace onnxlocal::ep
