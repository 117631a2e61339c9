#include "program/reference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>

namespace onnxlocal::ep::testing {

namespace {

Tensor from_constant(const Constant& constant) {
  Tensor tensor{.dims = constant.dims, .numbers = {}};
  if (constant.type == ElementType::kUint8) {
    for (const auto byte : constant.bytes) tensor.numbers.push_back(static_cast<double>(byte));
  } else if (const auto integers = read_integers(constant)) {
    for (const auto number : *integers) tensor.numbers.push_back(static_cast<double>(number));
  } else if (const auto floats = read_floats(constant)) {
    for (const auto number : *floats) tensor.numbers.push_back(static_cast<double>(number));
  }
  return tensor;
}

class Reference {
 public:
  Reference(const Graph& graph, const std::map<std::string, Tensor>& inputs)
      : graph_(graph), values_(graph.values.size()) {
    for (std::size_t i = 0; i < values_.size(); ++i) {
      const auto& value = graph.values[i];
      if (value.constant) values_[i] = from_constant(*value.constant);
      const auto found = inputs.find(value.name);
      if (found != inputs.end()) values_[i] = found->second;
    }
  }

  std::map<std::string, Tensor> run() {
    for (const auto& node : graph_.nodes) {
      node_ = &node;
      run_node();
    }
    std::map<std::string, Tensor> outputs;
    for (const auto index : graph_.outputs) {
      const auto slot = static_cast<std::size_t>(index);
      outputs[graph_.values[slot].name] = values_[slot];
    }
    return outputs;
  }

 private:
  bool has(std::size_t i) const { return node_->input(i) != kNoValue; }
  const Tensor& in(std::size_t i) const {
    return values_[static_cast<std::size_t>(node_->input(i))];
  }
  void out(std::size_t i, Tensor tensor) {
    const auto index = node_->output(i);
    if (index != kNoValue) values_[static_cast<std::size_t>(index)] = std::move(tensor);
  }
  void map(const std::function<double(double)>& function) {
    Tensor result = in(0);
    for (auto& number : result.numbers) number = function(number);
    out(0, std::move(result));
  }
  void zip(const std::function<double(double, double)>& function) {
    const bool is_first_larger = in(0).numbers.size() >= in(1).numbers.size();
    Tensor result = is_first_larger ? in(0) : in(1);
    for (std::size_t i = 0; i < result.numbers.size(); ++i) {
      result.numbers[i] = function(in(0).numbers[i % in(0).numbers.size()],
                                   in(1).numbers[i % in(1).numbers.size()]);
    }
    out(0, std::move(result));
  }

  void run_node() {
    const std::string& op = node_->op;
    if (op == "Add") return zip(std::plus<>());
    if (op == "Sub") return zip(std::minus<>());
    if (op == "Mul") return zip(std::multiplies<>());
    if (op == "Div") return zip(std::divides<>());
    if (op == "Sigmoid") return map([](double x) { return 1 / (1 + std::exp(-x)); });
    if (op == "Tanh") return map([](double x) { return std::tanh(x); });
    if (op == "Cast" || op == "Identity") return map([](double x) { return x; });
    if (op == "Gelu" && node_->text("approximate", "none") == "none") return map(gelu_erf);
    if (op == "Gelu" || op == "FastGelu") return map(gelu_tanh);
    if (op == "QuickGelu") {
      const double alpha = static_cast<double>(node_->number("alpha", 1.702F));
      return map([alpha](double x) { return x / (1 + std::exp(-alpha * x)); });
    }
    if (op == "SimplifiedLayerNormalization") return norm(in(0), 1, true, 2);
    if (op == "LayerNormalization") return norm(in(0), 1, false, 2);
    if (op == "SkipSimplifiedLayerNormalization") return skip_norm(true);
    if (op == "SkipLayerNormalization") return skip_norm(false);
    if (op == "ReduceSum") return reduce_sum();
    if (op == "Shape") return out(0, shape_of(in(0)));
    if (op == "Gather") return gather();
    if (op == "Unsqueeze") return unsqueeze();
    if (op == "Reshape") return reshape();
    if (op == "Split") return split();
    if (op == "MatMulNBits") return product();
    if (op == "GatherBlockQuantized") return gather_quantized();
    if (op == "RotaryEmbedding") return rotary();
    if (op == "GroupQueryAttention") return attention();
    ADD_FAILURE() << "the reference does not know " << op;
  }

  static double gelu_erf(double x) { return x / 2 * (1 + std::erf(x / std::sqrt(2.0))); }
  static double gelu_tanh(double x) {
    return x / 2 * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
  }

  static Tensor shape_of(const Tensor& x) {
    Tensor shape{.dims = {static_cast<std::int64_t>(x.dims.size())}, .numbers = {}};
    for (const auto dim : x.dims) shape.numbers.push_back(static_cast<double>(dim));
    return shape;
  }

  static void norm_span(double* x, std::size_t n, const double* weight, const double* bias,
                        double epsilon, bool is_simple) {
    double mean = 0;
    if (!is_simple) mean = std::accumulate(x, x + n, 0.0) / static_cast<double>(n);
    double squares = 0;
    for (std::size_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
    const double factor = 1 / std::sqrt(squares / static_cast<double>(n) + epsilon);
    for (std::size_t i = 0; i < n; ++i) {
      x[i] = (x[i] - mean) * factor * weight[i] + (bias != nullptr ? bias[i] : 0);
    }
  }

  void norm(Tensor x, std::size_t weight, bool is_simple, std::size_t bias) {
    const auto width = static_cast<std::size_t>(x.last());
    const double* offsets = !is_simple && has(bias) ? in(bias).numbers.data() : nullptr;
    for (std::size_t row = 0; row < x.rows(); ++row) {
      norm_span(x.numbers.data() + row * width, width, in(weight).numbers.data(), offsets,
                static_cast<double>(node_->number("epsilon", 1e-5F)), is_simple);
    }
    out(0, std::move(x));
  }

  void skip_norm(bool is_simple) {
    Tensor sum = in(0);
    for (std::size_t i = 0; i < sum.numbers.size(); ++i) sum.numbers[i] += in(1).numbers[i];
    out(3, sum);
    norm(std::move(sum), 2, is_simple, 3);
  }

  void reduce_sum() {
    Tensor result{.dims = {in(0).dims.begin(), in(0).dims.end() - 1}, .numbers = {}};
    const auto width = in(0).last();
    for (auto first = in(0).numbers.begin(); first != in(0).numbers.end(); first += width) {
      result.numbers.push_back(std::accumulate(first, first + width, 0.0));
    }
    out(0, std::move(result));
  }

  /// Along axis 0 of a table or a vector, or axis 1 of [batch, rows, columns].
  void gather() {
    const Tensor& x = in(0);
    const Tensor& which = in(1);
    const auto axis = static_cast<std::size_t>(node_->integer("axis", 0));
    const auto length = x.dims[axis];
    std::int64_t inner = 1;
    for (std::size_t i = axis + 1; i < x.dims.size(); ++i) inner *= x.dims[i];
    const auto outer = static_cast<std::int64_t>(x.numbers.size()) / (length * inner);
    Tensor result{.dims = x.dims, .numbers = {}};
    result.dims.erase(result.dims.begin() + static_cast<std::ptrdiff_t>(axis));
    result.dims.insert(result.dims.begin() + static_cast<std::ptrdiff_t>(axis), which.dims.begin(),
                       which.dims.end());
    for (std::int64_t o = 0; o < outer; ++o) {
      for (const double index : which.numbers) {
        const auto at = static_cast<std::int64_t>(index) + (index < 0 ? length : 0);
        const auto first = x.numbers.begin() + (o * length + at) * inner;
        result.numbers.insert(result.numbers.end(), first, first + inner);
      }
    }
    out(0, std::move(result));
  }

  void unsqueeze() {
    Tensor result = in(0);
    result.dims.insert(result.dims.begin() + static_cast<std::ptrdiff_t>(in(1).numbers[0]), 1);
    out(0, std::move(result));
  }

  void reshape() {
    Tensor result = in(0);
    std::int64_t known = 1;
    std::ptrdiff_t unknown = -1;
    result.dims.clear();
    for (std::size_t i = 0; i < in(1).numbers.size(); ++i) {
      auto dim = static_cast<std::int64_t>(in(1).numbers[i]);
      if (dim == 0) dim = in(0).dims[i];
      if (dim == -1) {
        unknown = static_cast<std::ptrdiff_t>(i);
      } else {
        known *= dim;
      }
      result.dims.push_back(dim);
    }
    const auto count = static_cast<std::int64_t>(result.numbers.size());
    if (unknown >= 0) result.dims[static_cast<std::size_t>(unknown)] = count / known;
    out(0, std::move(result));
  }

  void split() {
    const auto parts = node_->outputs.size();
    const auto width = in(0).last();
    std::vector<double> sizes(parts, static_cast<double>(width) / static_cast<double>(parts));
    if (has(1)) sizes = in(1).numbers;
    std::int64_t first = 0;
    for (std::size_t i = 0; i < parts; ++i) {
      const auto size = static_cast<std::int64_t>(sizes[i]);
      Tensor part{.dims = in(0).dims, .numbers = {}};
      part.dims.back() = size;
      for (std::size_t row = 0; row < in(0).rows(); ++row) {
        const auto from = in(0).numbers.begin() + static_cast<std::int64_t>(row) * width + first;
        part.numbers.insert(part.numbers.end(), from, from + size);
      }
      out(i, std::move(part));
      first += size;
    }
  }

  /// [rows][columns] of a matrix whose quants are input `quants`, its scales `scales`.
  std::vector<double> dequantize(std::size_t quants, std::size_t scales, std::size_t zeros,
                                 std::size_t rows, std::size_t columns) const {
    const auto bits = static_cast<std::size_t>(node_->integer("bits", 4));
    const auto block = static_cast<std::size_t>(node_->integer("block_size", 32));
    const std::size_t blocks = (columns + block - 1) / block;
    const auto element = [bits](const Tensor& bytes, std::size_t row_bytes, std::size_t row,
                                std::size_t i) {
      if (bits == 8) return bytes.numbers[row * row_bytes + i];
      const auto byte = static_cast<unsigned>(bytes.numbers[row * row_bytes + i / 2]);
      return static_cast<double>(i % 2 == 0 ? byte & 15U : byte >> 4U);
    };
    std::vector<double> matrix(rows * columns);
    for (std::size_t row = 0; row < rows; ++row) {
      for (std::size_t column = 0; column < columns; ++column) {
        const std::size_t index = row * blocks + column / block;
        double zero = bits == 4 ? 8 : 128;
        if (has(zeros)) {
          const auto type = graph_.values[static_cast<std::size_t>(node_->input(zeros))].type;
          zero = type == ElementType::kUint8
                     ? element(in(zeros), (blocks * bits + 7) / 8, row, column / block)
                     : in(zeros).numbers[index];
        }
        const double quant = element(in(quants), blocks * block * bits / 8, row, column);
        matrix[row * columns + column] = (quant - zero) * in(scales).numbers[index];
      }
    }
    return matrix;
  }

  static void round_to_8_bits(double* x, std::size_t n) {
    constexpr std::size_t kBlock = 32;
    for (std::size_t first = 0; first < n; first += kBlock) {
      const std::size_t last = std::min(first + kBlock, n);
      double largest = 0;
      for (std::size_t i = first; i < last; ++i) largest = std::max(largest, std::abs(x[i]));
      const double scale = largest / 127;
      for (std::size_t i = first; i < last && scale > 0; ++i) {
        x[i] = std::nearbyint(x[i] / scale) * scale;
      }
    }
  }

  void product() {
    const auto rows = static_cast<std::size_t>(node_->integer("N", 0));
    const auto columns = static_cast<std::size_t>(node_->integer("K", 0));
    const auto matrix = dequantize(1, 2, 3, rows, columns);
    Tensor x = in(0);
    Tensor result{.dims = x.dims, .numbers = {}};
    result.dims.back() = static_cast<std::int64_t>(rows);
    for (std::size_t m = 0; m < x.rows(); ++m) {
      double* from = x.numbers.data() + m * columns;
      round_to_8_bits(from, columns);
      for (std::size_t n = 0; n < rows; ++n) {
        const double start = has(5) ? in(5).numbers[n] : 0;
        const auto* weights = matrix.data() + n * columns;
        result.numbers.push_back(std::inner_product(from, from + columns, weights, start));
      }
    }
    out(0, std::move(result));
  }

  void gather_quantized() {
    const auto rows = static_cast<std::size_t>(in(0).dims[0]);
    const auto per_byte = node_->integer("bits", 4) == 4 ? 2U : 1U;
    const auto columns = static_cast<std::size_t>(in(0).dims[1]) * per_byte;
    const auto matrix = dequantize(0, 2, 3, rows, columns);
    Tensor result{.dims = in(1).dims, .numbers = {}};
    result.dims.push_back(static_cast<std::int64_t>(columns));
    for (const double token : in(1).numbers) {
      const auto* first = matrix.data() + static_cast<std::size_t>(token) * columns;
      result.numbers.insert(result.numbers.end(), first, first + columns);
    }
    out(0, std::move(result));
  }

  static void rotate_head(double* head, const double* cos, const double* sin, std::size_t half) {
    for (std::size_t i = 0; i < half; ++i) {
      const double a = head[i];
      const double b = head[i + half];
      head[i] = a * cos[i] - b * sin[i];
      head[i + half] = b * cos[i] + a * sin[i];
    }
  }

  void rotary() {
    Tensor x = in(0);
    const auto half = static_cast<std::size_t>(in(2).last());
    const auto width = static_cast<std::size_t>(x.last());
    for (std::size_t row = 0; row < x.rows(); ++row) {
      const auto first = static_cast<std::size_t>(in(1).numbers[row]) * half;
      for (std::size_t head = 0; head < width; head += 2 * half) {
        rotate_head(x.numbers.data() + row * width + head, in(2).numbers.data() + first,
                    in(3).numbers.data() + first, half);
      }
    }
    out(0, std::move(x));
  }

  /// Heads `first` to `first + count` of packed or separate rows, as [rows][count * head].
  Tensor heads_of(std::size_t input, std::size_t first, std::size_t count, std::size_t head) const {
    const Tensor& x = in(input);
    const auto width = static_cast<std::size_t>(x.last());
    Tensor part{.dims = {x.dims[0], x.dims[1], static_cast<std::int64_t>(count * head)},
                .numbers = {}};
    for (std::size_t row = 0; row < x.rows(); ++row) {
      const auto* from = x.numbers.data() + row * width + first * head;
      part.numbers.insert(part.numbers.end(), from, from + count * head);
    }
    return part;
  }

  void place_heads(Tensor& x, std::size_t head, std::size_t norm_input) const {
    const auto width = static_cast<std::size_t>(x.last());
    const auto length = static_cast<std::size_t>(x.dims[1]);
    for (std::size_t row = 0; row < x.rows(); ++row) {
      for (std::size_t first = 0; first < width; first += head) {
        double* at = x.numbers.data() + row * width + first;
        if (has(norm_input)) {
          norm_span(at, head, in(norm_input).numbers.data(), nullptr,
                    static_cast<double>(node_->number("qk_norm_epsilon", 1e-6F)), true);
        }
        if (node_->integer("do_rotary", 0) == 0) continue;
        const auto half = static_cast<std::size_t>(in(7).last());
        rotate_head(at, in(7).numbers.data() + (row % length) * half,
                    in(8).numbers.data() + (row % length) * half, half);
      }
    }
  }

  void attention() {
    const auto heads = static_cast<std::size_t>(node_->integer("num_heads", 0));
    const auto kv_heads = static_cast<std::size_t>(node_->integer("kv_num_heads", 0));
    const bool is_packed = !has(1);
    const std::size_t head =
        static_cast<std::size_t>(in(0).last()) / (is_packed ? heads + 2 * kv_heads : heads);
    Tensor q = heads_of(0, 0, heads, head);
    Tensor k = heads_of(is_packed ? 0 : 1, is_packed ? heads : 0, kv_heads, head);
    const Tensor v = heads_of(is_packed ? 0 : 2, is_packed ? heads + kv_heads : 0, kv_heads, head);
    place_heads(q, head, 14);
    place_heads(k, head, 15);
    Tensor result = q;
    const auto length = static_cast<std::size_t>(q.dims[1]);
    for (std::size_t row = 0; row < q.rows(); ++row) {
      for (std::size_t h = 0; h < heads; ++h) {
        const std::size_t kv = h / (heads / kv_heads) * head;
        const std::size_t first_row = row / length * length;
        attend_row(q.numbers.data() + row * heads * head + h * head, k, v, first_row, row % length,
                   kv, head, result.numbers.data() + row * heads * head + h * head);
      }
    }
    out(0, std::move(result));
  }

  void attend_row(const double* q, const Tensor& k, const Tensor& v, std::size_t first_row,
                  std::size_t position, std::size_t kv, std::size_t head, double* result) const {
    const auto window = node_->integer("local_window_size", -1);
    const auto cap = static_cast<double>(node_->number("softcap", 0));
    double scale = static_cast<double>(node_->number("scale", 0));
    if (scale == 0) scale = 1 / std::sqrt(static_cast<double>(head));
    std::size_t first = 0;
    if (window > 0 && position >= static_cast<std::size_t>(window)) {
      first = position + 1 - static_cast<std::size_t>(window);
    }
    const auto width = static_cast<std::size_t>(k.last());
    std::vector<double> weights;
    for (std::size_t j = first; j <= position; ++j) {
      const auto* key = k.numbers.data() + (first_row + j) * width + kv;
      double score = std::inner_product(q, q + head, key, 0.0) * scale;
      if (cap != 0) score = cap * std::tanh(score / cap);
      weights.push_back(score);
    }
    const double largest = *std::ranges::max_element(weights);
    double total = 0;
    for (auto& weight : weights) total += weight = std::exp(weight - largest);
    std::fill(result, result + head, 0.0);
    for (std::size_t j = first; j <= position; ++j) {
      const auto* row = v.numbers.data() + (first_row + j) * width + kv;
      for (std::size_t i = 0; i < head; ++i) result[i] += weights[j - first] / total * row[i];
    }
  }

  const Graph& graph_;
  std::vector<Tensor> values_;
  const Node* node_ = nullptr;
};

}  // namespace

std::map<std::string, Tensor> run_reference(const Graph& graph,
                                            const std::map<std::string, Tensor>& inputs) {
  return Reference(graph, inputs).run();
}

}  // namespace onnxlocal::ep::testing
