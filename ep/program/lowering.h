#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "graph/graph.h"
#include "program/instruction.h"

namespace onnxlocal::ep {

/// Nothing, or why a node cannot be lowered.
using Problem = std::optional<std::string>;

/// Turns a graph's nodes, one after the other, into instructions: no template of a decoder is
/// matched. What a value has become is one of few kinds; a node that does not know what to do with
/// its inputs says so, and the whole graph is refused. Its methods are grouped in lower_*.cpp.
class Lowering {
 public:
  explicit Lowering(const Graph& graph) : graph_(graph), lowered_(graph.values.size()) {}
  /// The program, not fused and not planned yet; or the first thing that stands in the way.
  std::expected<Program, std::string> run();

 private:
  /// A row value; its last dimension is `group` columns: the width, or after a reshape the size of
  /// a head, so that each row is several of ONNX's rows.
  struct RowValue {
    View view;
    Index space = kNone;
    std::uint32_t group = 0;
    bool is_plain() const { return group == view.width; }
  };
  struct IntegerValue {
    Index index = kNone;
  };
  /// A paged cache after `version` layers have written it.
  struct PagesValue {
    Index cache = kNone;
    std::uint32_t version = 0;
  };
  /// One of two constants, as the integers `condition` say in a run.
  struct ChoiceValue {
    Index condition = kNone;
    ValueIndex then = kNoValue;
    ValueIndex otherwise = kNoValue;
  };
  using Lowered =
      std::variant<std::monostate, RowValue, IntegerValue, PagesValue, ChoiceValue, Constant>;
  using Method = Problem (Lowering::*)(const Node&);
  static Method method_for(const Node& node);
  Problem finish_outputs();
  Problem finish_output(Index output, ValueIndex index);

  // What values are (lowering.cpp).
  const Value& value(ValueIndex index) const {
    return graph_.values[static_cast<std::size_t>(index)];
  }
  bool is_used(ValueIndex index) const;
  Problem refuse_used(const Node& node, std::initializer_list<std::size_t> outputs) const;
  const Constant* constant(ValueIndex index) const;
  std::optional<RowValue> rows(ValueIndex index);
  std::optional<RowValue> plain_rows(ValueIndex index);
  Index integers(ValueIndex index);  ///< kNone where the value is none.
  std::optional<std::vector<std::int64_t>> constant_integers(ValueIndex index) const;
  std::optional<float> scalar(ValueIndex index) const;
  Index vector(ValueIndex index, std::size_t width);  ///< Floats; kNone where it is none.
  Index input(ValueIndex index);                      ///< kNone where it is no input.
  Index output(ValueIndex index) const;               ///< kNone where it is no output.
  bool is_float(ValueIndex index) const;

  // Making things (lowering.cpp).
  Index add_space(const Space& space);
  Index add_step(IntegerStep step);
  RowValue new_rows(std::uint32_t width, Index space);
  Instruction& emit(Op op) { return program_.instructions.emplace_back(Instruction{.op = op}); }
  void define(ValueIndex index, Lowered lowered) {
    if (index != kNoValue) lowered_[static_cast<std::size_t>(index)] = std::move(lowered);
  }
  RowValue emit_unary(Op op, const RowValue& a);
  RowValue emit_scale(const RowValue& a, float factor);
  RowValue emit_activation(const RowValue& a, Activation activation);

  // lower_arithmetic.cpp
  Problem lower_add(const Node& node);
  Problem lower_subtract(const Node& node);
  Problem lower_multiply(const Node& node);
  Problem lower_divide(const Node& node);
  Problem lower_two_integers(const Node& node, IntegerStep::Kind kind);
  Problem lower_greater(const Node& node);
  Problem lower_two_rows(const Node& node, Op op);
  Problem lower_with_vector(const Node& node, Op op);
  Problem lower_norm(const Node& node);
  Problem lower_skip_norm(const Node& node);
  Problem lower_layer_norm(const Node& node);
  Problem lower_skip_layer_norm(const Node& node);
  /// The end of both: input `weight` is the weight, the one behind it the bias.
  Problem norm_with_bias(const Node& node, const RowValue& x, std::size_t weight);
  std::optional<RowValue> skip_sum(const Node& node, std::size_t bias_input, Problem& problem);
  Problem lower_sigmoid(const Node& node);
  Problem lower_tanh(const Node& node);
  Problem lower_gelu(const Node& node);
  Problem lower_fast_gelu(const Node& node);
  Problem lower_swish(const Node& node);

  // lower_shapes.cpp
  Problem lower_cast(const Node& node);
  Problem lower_if(const Node& node);
  Problem lower_identity(const Node& node);
  Problem lower_shape(const Node& node);
  Problem lower_reduce_sum(const Node& node);
  Problem lower_reshape(const Node& node);
  Problem reshape_rows(const Node& node, const RowValue& x, std::span<const std::int64_t> target);
  Problem lower_squeeze(const Node& node);
  Problem lower_unsqueeze(const Node& node);
  Problem lower_axis(const Node& node, bool inserts);
  Problem lower_split(const Node& node);
  Problem lower_slice(const Node& node);
  Problem lower_gather(const Node& node);
  Problem select_rows(const Node& node, const RowValue& x, std::int64_t axis, Index which);
  std::size_t rank_of_space(Index space) const;  ///< Dimensions before the last.
  std::size_t rank_of_integers(Index integers) const;

  // lower_products.cpp
  Problem lower_matmul_nbits(const Node& node);
  Problem lower_gather_quantized(const Node& node);
  Problem lower_embedding(const Node& node);
  Index matrix(MatrixConstants constants);
  View quantized(const RowValue& x);

  // lower_attention.cpp
  Problem lower_rotary(const Node& node);
  Problem lower_group_query(const Node& node);
  Problem lower_paged_group_query(const Node& node);
  struct AttentionInputs;
  Problem attention_inputs(const Node& node, Attention& attention, AttentionInputs& inputs);
  Problem attention_rotary(const Node& node, std::size_t cos_input, Attention& attention);
  Problem attention_norms(const Node& node, std::size_t norm_input, Attention& attention);
  Problem group_query_caches(const Node& node, Attention& attention);
  Problem find_rotary(const Node& node, std::size_t cos_input, Rotary& rotary);
  Problem rotary_tables(ValueIndex cos_value, ValueIndex sin_value, RotaryTables& tables,
                        std::uint32_t& half);
  void emit_attention(const Node& node, Attention attention, const AttentionInputs& inputs);
  Index add_sequences(const Sequences& sequences);

  const Graph& graph_;
  std::vector<Lowered> lowered_;
  Program program_;
  std::map<ValueIndex, Index> inputs_, vectors_, tables_;
  std::vector<std::uint32_t> cache_versions_;
  struct Quantized {
    View view;
    View quantized;
  };
  std::vector<Quantized> quantized_;
};

}  // namespace onnxlocal::ep
