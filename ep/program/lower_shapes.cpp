// What moves no number, or picks some: casts, reshapes, splits, slices, gathers.
#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "graph/text.h"
#include "program/lowering.h"

namespace onnxlocal::ep {

namespace {

constexpr const char* kNoRows = "its input is not rows of numbers with a known width";

}  // namespace

std::size_t Lowering::rank_of_integers(Index integers) const {
  using Kind = IntegerStep::Kind;
  const auto& step = program_.integers[static_cast<std::size_t>(integers)];
  switch (step.kind) {
    case Kind::kInput: return step.rank;
    case Kind::kConstant: return step.dims.size();
    case Kind::kShape: return 1;
    case Kind::kGather: return rank_of_integers(step.b);
    case Kind::kSum: return rank_of_integers(step.a) - (step.keeps_axis ? 0 : 1);
    case Kind::kAdd:
    case Kind::kSubtract:
    case Kind::kMultiply:
    case Kind::kGreater: return std::max(rank_of_integers(step.a), rank_of_integers(step.b));
    case Kind::kInsertAxis: return rank_of_integers(step.a) + 1;
    case Kind::kRemoveAxis: return rank_of_integers(step.a) - 1;
  }
  return 0;
}

std::size_t Lowering::rank_of_space(Index space) const {
  using Kind = Space::Kind;
  const auto& known = program_.spaces[static_cast<std::size_t>(space)];
  switch (known.kind) {
    case Kind::kOfIntegers: return rank_of_integers(known.integers);
    case Kind::kOfInput: return static_cast<std::size_t>(known.axis);
    case Kind::kSelected: return rank_of_space(known.of) - 1 + rank_of_integers(known.integers);
    case Kind::kInserted: return rank_of_space(known.of) + 1;
    case Kind::kRemoved: return rank_of_space(known.of) - 1;
    case Kind::kFlat: return 1;
    case Kind::kBatched: return 2;
  }
  return 0;
}

/// Numbers are float32 inside a program, whatever the graph calls them; integers are 64 bits wide.
/// Constants chosen by integers.
Problem Lowering::lower_if(const Node& node) {
  const auto condition = integers(node.input(0));
  const auto then = node.branches.find("then_branch");
  const auto otherwise = node.branches.find("else_branch");
  if (condition == kNone || then == node.branches.end() || otherwise == node.branches.end() ||
      then->second.size() != node.outputs.size() ||
      otherwise->second.size() != node.outputs.size()) {
    return "only constants that lengths choose from are known";
  }
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    define(node.output(i),
           ChoiceValue{
               .condition = condition, .then = then->second[i], .otherwise = otherwise->second[i]});
  }
  return std::nullopt;
}

Problem Lowering::lower_cast(const Node& node) {
  const auto to = static_cast<ElementType>(node.integer("to", 0));
  const bool to_float =
      to == ElementType::kFloat32 || to == ElementType::kFloat16 || to == ElementType::kBfloat16;
  const bool to_integer = to == ElementType::kInt32 || to == ElementType::kInt64;
  if (const auto x = rows(node.input(0)); x && to_float) {
    define(node.output(0), *x);
    return std::nullopt;
  }
  if (const auto* known = constant(node.input(0));
      known != nullptr && to_float &&
      (known->type == ElementType::kFloat32 || known->type == ElementType::kFloat16)) {
    define(node.output(0), *known);
    return std::nullopt;
  }
  const auto whole = integers(node.input(0));
  if (whole != kNone && to_integer) {
    define(node.output(0), IntegerValue{whole});
    return std::nullopt;
  }
  return "only casts between kinds of floats, or of integers, are known";
}

Problem Lowering::lower_identity(const Node& node) {
  if (const auto x = rows(node.input(0))) {
    define(node.output(0), *x);
  } else if (const auto* known = constant(node.input(0))) {
    define(node.output(0), *known);
  } else if (const auto whole = integers(node.input(0)); whole != kNone) {
    define(node.output(0), IntegerValue{whole});
  } else {
    return "its input is neither rows nor integers nor constant";
  }
  return std::nullopt;
}

Problem Lowering::lower_shape(const Node& node) {
  const auto whole = integers(node.input(0));
  if (whole == kNone) return "only shapes of integers are known";
  if (node.integer("start", 0) != 0 || node.attributes.contains("end")) {
    return "only whole shapes are known";
  }
  define(node.output(0), IntegerValue{add_step({.kind = IntegerStep::Kind::kShape, .a = whole})});
  return std::nullopt;
}

Problem Lowering::lower_reduce_sum(const Node& node) {
  const auto whole = integers(node.input(0));
  if (whole == kNone) return "only sums of integers are known";
  auto axes = constant_integers(node.input(1));
  if (!axes) axes = node.integers("axes");
  const auto rank = static_cast<std::int64_t>(rank_of_integers(whole));
  if (!axes || axes->size() != 1 || rank < 1 ||
      (axes->front() != -1 && axes->front() != rank - 1)) {
    return "only sums over the last axis are known";
  }
  define(node.output(0), IntegerValue{add_step({.kind = IntegerStep::Kind::kSum,
                                                .a = whole,
                                                .keeps_axis = node.integer("keepdims", 1) != 0})});
  return std::nullopt;
}

Problem Lowering::lower_reshape(const Node& node) {
  const auto target = constant_integers(node.input(1));
  if (!target || target->empty()) return "its shape is not constant";
  if (const auto* known = constant(node.input(0))) {
    const auto count = element_count(known->dims);
    auto reshaped = *known;
    reshaped.dims = *target;
    if (!count || element_count(reshaped.dims) != count) {
      return "its shape is not as large as its constant";
    }
    define(node.output(0), std::move(reshaped));
    return std::nullopt;
  }
  const auto x = rows(node.input(0));
  return x ? reshape_rows(node, *x, *target) : kNoRows;
}

/// Between [.., width] and [.., heads, head] or [.., heads * .., head]: the rows stay, and only
/// what counts as the last dimension changes.
Problem Lowering::reshape_rows(const Node& node, const RowValue& x,
                               std::span<const std::int64_t> target) {
  if (node.integer("allowzero", 0) != 0) return "allowzero is unknown";
  const auto last = target.back();
  auto made = x;
  const auto before = target.first(target.size() - 1);
  if (last == x.view.width) {
    made.group = x.view.width;
    const auto rank = rank_of_space(x.space);
    const bool keeps_first = before.size() == rank && rank == 2 && before[0] == 0;
    if (before.size() == 1 && before[0] == -1) {
      made.space = add_space({.kind = Space::Kind::kFlat, .of = x.space});
    } else if (!keeps_first || before[1] > 0) {
      const bool is_batched = before.size() == 2 && before[0] == 1 && before[1] == -1;
      if (!is_batched) return "its rows are arranged in an unknown way";
      made.space = add_space({.kind = Space::Kind::kBatched, .of = x.space});
    }
    define(node.output(0), made);
    return std::nullopt;
  }
  if (last <= 0 || last > x.view.width || x.view.width % last != 0) {
    return "its last dimension does not divide the width";
  }
  const auto heads = static_cast<std::int64_t>(x.view.width) / last;
  const bool is_folded = before.size() == 2 && before[0] == 0 && before[1] == -1;
  const bool is_apart = before.size() == 3 && before[0] == 0 &&
                        (before[1] == 0 || before[1] == -1) &&
                        (before[2] == heads || (before[2] == -1 && before[1] == 0));
  const bool is_flat = before.size() == 1 && before[0] == -1;
  if (!is_folded && !is_apart && !is_flat) return "its heads are arranged in an unknown way";
  made.group = static_cast<std::uint32_t>(last);
  define(node.output(0), made);
  return std::nullopt;
}

Problem Lowering::lower_squeeze(const Node& node) { return lower_axis(node, false); }
Problem Lowering::lower_unsqueeze(const Node& node) { return lower_axis(node, true); }

Problem Lowering::lower_axis(const Node& node, bool inserts) {
  auto axes = constant_integers(node.input(1));
  if (!axes) axes = node.integers("axes");
  if (!axes || axes->size() != 1) return "only one constant axis is known";
  auto axis = axes->front();
  if (const auto x = plain_rows(node.input(0))) {
    const auto rank = static_cast<std::int64_t>(rank_of_space(x->space)) + 1;
    if (axis < 0) axis += rank + (inserts ? 1 : 0);
    if (axis < 0 || axis >= rank - (inserts ? 0 : 1)) return "its axis is not before the last";
    auto made = *x;
    made.space = add_space({.kind = inserts ? Space::Kind::kInserted : Space::Kind::kRemoved,
                            .of = x->space,
                            .axis = axis});
    define(node.output(0), made);
    return std::nullopt;
  }
  const auto whole = integers(node.input(0));
  if (whole == kNone) return "its input is neither rows nor integers";
  const auto rank = static_cast<std::int64_t>(rank_of_integers(whole));
  if (axis < 0) axis += rank + (inserts ? 1 : 0);
  if (axis < 0 || axis > rank - (inserts ? 0 : 1)) return "its axis is out of range";
  using Kind = IntegerStep::Kind;
  define(node.output(0),
         IntegerValue{add_step(
             {.kind = inserts ? Kind::kInsertAxis : Kind::kRemoveAxis, .a = whole, .axis = axis})});
  return std::nullopt;
}

Problem Lowering::lower_split(const Node& node) {
  const auto x = plain_rows(node.input(0));
  if (!x) return kNoRows;
  const auto axis = node.integer("axis", 0);
  if (axis != -1 && axis != static_cast<std::int64_t>(rank_of_space(x->space))) {
    return "it splits another axis than the last";
  }
  auto sizes = constant_integers(node.input(1));
  if (!sizes && node.input(1) != kNoValue) return "its sizes are not constant";
  if (!sizes) sizes = node.integers("split");
  const auto parts = static_cast<std::int64_t>(node.outputs.size());
  if (!sizes && parts > 0) {
    const auto size = (static_cast<std::int64_t>(x->view.width) + parts - 1) / parts;
    sizes.emplace(node.outputs.size(), size);
    sizes->back() = x->view.width - size * (parts - 1);
  }
  if (!sizes || sizes->size() != node.outputs.size() || std::ranges::min(*sizes) <= 0 ||
      std::accumulate(sizes->begin(), sizes->end(), std::int64_t{0}) != x->view.width) {
    return "its sizes do not add up to the width";
  }
  std::uint32_t offset = x->view.offset;
  for (std::size_t i = 0; i < sizes->size(); ++i) {
    const auto width = static_cast<std::uint32_t>((*sizes)[i]);
    const View view{.buffer = x->view.buffer, .offset = offset, .width = width};
    define(node.output(i), RowValue{.view = view, .space = x->space, .group = width});
    offset += width;
  }
  return std::nullopt;
}

Problem Lowering::lower_slice(const Node& node) {
  const auto x = plain_rows(node.input(0));
  if (!x) return kNoRows;
  const auto starts = constant_integers(node.input(1));
  const auto ends = constant_integers(node.input(2));
  const auto axes = constant_integers(node.input(3));
  const auto steps = constant_integers(node.input(4));
  const bool is_single =
      starts && ends && axes && starts->size() == 1 && ends->size() == 1 && axes->size() == 1;
  if (!is_single || (node.input(4) != kNoValue && (!steps || steps->front() != 1))) {
    return "only constant slices of one axis are known";
  }
  const auto rank = static_cast<std::int64_t>(rank_of_space(x->space)) + 1;
  const auto axis = axes->front() < 0 ? axes->front() + rank : axes->front();
  if (axis == rank - 1) {
    const std::int64_t width = x->view.width;
    const auto clamp = [width](std::int64_t at) {
      return std::clamp<std::int64_t>(at < 0 ? at + width : at, 0, width);
    };
    const auto first = clamp(starts->front());
    const auto last = clamp(ends->front());
    if (first >= last) return "it gives no column";
    const auto columns = static_cast<std::uint32_t>(last - first);
    const View view{.buffer = x->view.buffer,
                    .offset = x->view.offset + static_cast<std::uint32_t>(first),
                    .width = columns};
    define(node.output(0), RowValue{.view = view, .space = x->space, .group = columns});
    return std::nullopt;
  }
  // [:, -1:, :] is how some write "the last row".
  const bool is_last_row =
      starts->front() == -1 && ends->front() >= std::numeric_limits<std::int32_t>::max();
  if (!is_last_row) return "of rows only the last can be sliced";
  const auto which = add_step({.kind = IntegerStep::Kind::kConstant, .numbers = {-1}, .dims = {1}});
  return select_rows(node, *x, axis, which);
}

Problem Lowering::lower_gather(const Node& node) {
  const auto axis = node.integer("axis", 0);
  if (const auto x = plain_rows(node.input(0))) {
    const auto which = integers(node.input(1));
    if (which == kNone) return "its indices are no integers";
    return select_rows(node, *x, axis, which);
  }
  const auto whole = integers(node.input(0));
  const auto which = integers(node.input(1));
  if (whole != kNone && which != kNone && axis == 0 && rank_of_integers(whole) == 1) {
    define(node.output(0),
           IntegerValue{add_step({.kind = IntegerStep::Kind::kGather, .a = whole, .b = which})});
    return std::nullopt;
  }
  return constant(node.input(0)) != nullptr ? lower_embedding(node) : kNoRows;
}

Problem Lowering::select_rows(const Node& node, const RowValue& x, std::int64_t axis, Index which) {
  const auto rank = static_cast<std::int64_t>(rank_of_space(x.space));
  if (axis < 0) axis += rank + 1;
  if (axis != rank - 1) return "only rows of the last axis before the columns can be gathered";
  const auto space =
      add_space({.kind = Space::Kind::kSelected, .of = x.space, .integers = which, .axis = axis});
  const auto made = new_rows(x.view.width, space);
  auto& gather = emit(Op::kGather);
  gather.a = x.view;
  gather.integers = which;
  gather.out = made.view;
  define(node.output(0), made);
  return std::nullopt;
}

}  // namespace onnxlocal::ep
