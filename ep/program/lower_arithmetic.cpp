// Sums, products, norms and activations.
#include <utility>

#include "graph/text.h"
#include "program/lowering.h"

namespace onnxlocal::ep {

namespace {

constexpr const char* kNoRows = "its input is not rows of numbers with a known width";

bool is_last_axis(const Node& node) {
  // A decoder's rows have two dimensions before the last; more of them only inside heads.
  const auto axis = node.integer("axis", -1);
  return axis == -1 || axis == 2;
}

}  // namespace

Problem Lowering::lower_two_integers(const Node& node, IntegerStep::Kind kind) {
  const auto a = integers(node.input(0));
  const auto b = integers(node.input(1));
  if (a == kNone || b == kNone) return "its inputs are neither rows nor integers";
  define(node.output(0), IntegerValue{add_step({.kind = kind, .a = a, .b = b})});
  return std::nullopt;
}

Problem Lowering::lower_two_rows(const Node& node, Op op) {
  const auto a = rows(node.input(0));
  const auto b = rows(node.input(1));
  if (!a || !b) return kNoRows;
  if (a->space != b->space || a->view.width != b->view.width || a->group != b->group) {
    return "its inputs are rows of different shapes";
  }
  auto made = new_rows(a->view.width, a->space);
  made.group = a->group;
  auto& instruction = emit(op);
  instruction.a = a->view;
  instruction.b = b->view;
  instruction.out = made.view;
  define(node.output(0), made);
  return std::nullopt;
}

Problem Lowering::lower_with_vector(const Node& node, Op op) {
  const bool is_second = constant(node.input(1)) != nullptr;
  const auto x = plain_rows(node.input(is_second ? 0 : 1));
  if (!x) return kNoRows;
  const auto weights = vector(node.input(is_second ? 1 : 0), x->view.width);
  if (weights == kNone) return "its constant is not one number for each column";
  const auto made = emit_unary(op, *x);
  program_.instructions.back().vector = weights;
  define(node.output(0), made);
  return std::nullopt;
}

Problem Lowering::lower_add(const Node& node) {
  if (integers(node.input(0)) != kNone && integers(node.input(1)) != kNone) {
    return lower_two_integers(node, IntegerStep::Kind::kAdd);
  }
  if (constant(node.input(0)) != nullptr || constant(node.input(1)) != nullptr) {
    return lower_with_vector(node, Op::kAddVector);
  }
  return lower_two_rows(node, Op::kAdd);
}

Problem Lowering::lower_greater(const Node& node) {
  return lower_two_integers(node, IntegerStep::Kind::kGreater);
}

Problem Lowering::lower_subtract(const Node& node) {
  return lower_two_integers(node, IntegerStep::Kind::kSubtract);
}

Problem Lowering::lower_multiply(const Node& node) {
  for (const std::size_t side : {0U, 1U}) {
    const auto factor = scalar(node.input(side));
    const auto x = rows(node.input(1 - side));
    if (!factor || !x) continue;
    define(node.output(0), emit_scale(*x, *factor));
    return std::nullopt;
  }
  if (integers(node.input(0)) != kNone && integers(node.input(1)) != kNone) {
    return lower_two_integers(node, IntegerStep::Kind::kMultiply);
  }
  if (constant(node.input(0)) != nullptr || constant(node.input(1)) != nullptr) {
    return lower_with_vector(node, Op::kMultiplyVector);
  }
  return lower_two_rows(node, Op::kMultiply);
}

Problem Lowering::lower_divide(const Node& node) {
  const auto divisor = scalar(node.input(1));
  const auto x = rows(node.input(0));
  if (!x || !divisor || *divisor == 0) return "only rows divided by one constant are known";
  define(node.output(0), emit_scale(*x, 1.0F / *divisor));
  return std::nullopt;
}

Lowering::RowValue Lowering::emit_scale(const RowValue& a, float factor) {
  const auto made = emit_unary(Op::kScale, a);
  program_.instructions.back().number = factor;
  return made;
}

Lowering::RowValue Lowering::emit_activation(const RowValue& a, Activation activation) {
  const auto made = emit_unary(Op::kActivate, a);
  program_.instructions.back().activation = activation;
  return made;
}

Problem Lowering::lower_norm(const Node& node) {
  const auto x = rows(node.input(0));
  if (!x) return kNoRows;
  const bool is_last = node.integer("axis", -1) == -1 || (x->is_plain() && is_last_axis(node));
  if (!is_last) return "it norms another axis than the last";
  const auto weights = vector(node.input(1), x->group);
  if (weights == kNone) return "its weight is not one constant number for each column";
  if (auto problem = refuse_used(node, {1})) return problem;
  const auto made = emit_unary(Op::kNorm, *x);
  auto& norm = program_.instructions.back();
  norm.vector = weights;
  norm.group = x->group;
  norm.number = node.number("epsilon", 1e-5F);
  define(node.output(0), made);
  return std::nullopt;
}

/// input + skip (+ bias), which a skip norm gives as its output 3 as well.
std::optional<Lowering::RowValue> Lowering::skip_sum(const Node& node, std::size_t bias_input,
                                                     Problem& problem) {
  const auto a = plain_rows(node.input(0));
  const auto b = plain_rows(node.input(1));
  if (!a || !b || a->space != b->space || a->view.width != b->view.width) {
    problem = "its two inputs are not rows of one shape";
    return std::nullopt;
  }
  problem = refuse_used(node, {1, 2});
  if (problem) return std::nullopt;
  auto sum = new_rows(a->view.width, a->space);
  auto& add = emit(Op::kAdd);
  add.a = a->view;
  add.b = b->view;
  add.out = sum.view;
  if (node.input(bias_input) != kNoValue) {
    const auto bias = vector(node.input(bias_input), sum.view.width);
    if (bias == kNone) {
      problem = "its bias is not one constant number for each column";
      return std::nullopt;
    }
    sum = emit_unary(Op::kAddVector, sum);
    program_.instructions.back().vector = bias;
  }
  define(node.output(3), sum);
  return sum;
}

Problem Lowering::lower_skip_norm(const Node& node) {
  Problem problem;
  const auto sum = skip_sum(node, 3, problem);
  if (!sum) return problem;
  const auto weights = vector(node.input(2), sum->view.width);
  if (weights == kNone) return "its weight is not one constant number for each column";
  const auto made = emit_unary(Op::kNorm, *sum);
  auto& norm = program_.instructions.back();
  norm.vector = weights;
  norm.group = sum->view.width;
  norm.number = node.number("epsilon", 1e-5F);
  define(node.output(0), made);
  return std::nullopt;
}

Problem Lowering::norm_with_bias(const Node& node, const RowValue& x, std::size_t weight) {
  const auto weights = vector(node.input(weight), x.view.width);
  const auto bias = vector(node.input(weight + 1), x.view.width);
  if (weights == kNone || (bias == kNone && node.input(weight + 1) != kNoValue)) {
    return "its weight or its bias is not one constant number for each column";
  }
  const auto made = emit_unary(Op::kLayerNorm, x);
  auto& norm = program_.instructions.back();
  norm.vector = weights;
  norm.vector_b = bias;
  norm.number = node.number("epsilon", 1e-5F);
  define(node.output(0), made);
  return std::nullopt;
}

Problem Lowering::lower_layer_norm(const Node& node) {
  const auto x = plain_rows(node.input(0));
  if (!x) return kNoRows;
  if (!is_last_axis(node)) return "it norms another axis than the last";
  if (auto problem = refuse_used(node, {1, 2})) return problem;
  return norm_with_bias(node, *x, 1);
}

Problem Lowering::lower_skip_layer_norm(const Node& node) {
  Problem problem;
  const auto sum = skip_sum(node, 4, problem);
  if (!sum) return problem;
  return norm_with_bias(node, *sum, 2);
}

Problem Lowering::lower_sigmoid(const Node& node) {
  const auto x = rows(node.input(0));
  if (!x) return kNoRows;
  define(node.output(0), emit_unary(Op::kSigmoid, *x));
  return std::nullopt;
}

Problem Lowering::lower_tanh(const Node& node) {
  const auto x = rows(node.input(0));
  if (!x) return kNoRows;
  const auto made = emit_unary(Op::kSoftcap, *x);
  program_.instructions.back().number = 1;
  define(node.output(0), made);
  return std::nullopt;
}

/// Gelu, com.microsoft's Gelu, and BiasGelu, which adds a constant first.
Problem Lowering::lower_gelu(const Node& node) {
  auto x = plain_rows(node.input(0));
  if (!x) return kNoRows;
  if (node.op == "BiasGelu") {
    const auto bias = vector(node.input(1), x->view.width);
    if (bias == kNone) return "its bias is not one constant number for each column";
    x = emit_unary(Op::kAddVector, *x);
    program_.instructions.back().vector = bias;
  }
  const auto approximate = node.text("approximate", "none");
  if (approximate != "none" && approximate != "tanh") {
    return text("its approximation '", approximate, "' is unknown");
  }
  define(node.output(0),
         emit_activation(*x, approximate == "tanh" ? Activation::kGeluTanh : Activation::kGeluErf));
  return std::nullopt;
}

Problem Lowering::lower_fast_gelu(const Node& node) {
  auto x = plain_rows(node.input(0));
  if (!x) return kNoRows;
  if (node.input(1) != kNoValue) {
    const auto bias = vector(node.input(1), x->view.width);
    if (bias == kNone) return "its bias is not one constant number for each column";
    x = emit_unary(Op::kAddVector, *x);
    program_.instructions.back().vector = bias;
  }
  define(node.output(0), emit_activation(*x, Activation::kGeluTanh));
  return std::nullopt;
}

/// x * sigmoid(alpha * x), which is silu(alpha * x) / alpha.
Problem Lowering::lower_swish(const Node& node) {
  auto x = plain_rows(node.input(0));
  if (!x) return kNoRows;
  const float alpha = node.number("alpha", node.op == "QuickGelu" ? 1.702F : 1.0F);
  if (!(alpha > 0)) return "its alpha is not positive";
  if (alpha != 1) x = emit_scale(*x, alpha);
  x = emit_activation(*x, Activation::kSilu);
  if (alpha != 1) x = emit_scale(*x, 1 / alpha);
  define(node.output(0), *x);
  return std::nullopt;
}

}  // namespace onnxlocal::ep
