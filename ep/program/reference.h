#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace onnxlocal::ep::testing {

/// Numbers of any type, as doubles.
struct Tensor {
  std::vector<std::int64_t> dims;
  std::vector<double> numbers;
  std::int64_t last() const { return dims.back(); }
  std::size_t rows() const { return numbers.size() / static_cast<std::size_t>(dims.back()); }
};

/// Runs a graph node by node in double precision, as ONNX says, with nothing of the code under test
/// but how graphs are described. Rows that meet a quantized matrix are rounded to 8 bits in blocks
/// of 32 first, since the program does so too: what is compared is then everything else.
/// GroupQueryAttention: without a past, all tokens at once.
std::map<std::string, Tensor> run_reference(const Graph& graph,
                                            const std::map<std::string, Tensor>& inputs);

}  // namespace onnxlocal::ep::testing
