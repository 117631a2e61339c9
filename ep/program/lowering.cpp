#include "program/lowering.h"

#include <algorithm>
#include <utility>

#include "graph/text.h"

namespace onnxlocal::ep {

namespace {

constexpr const char* kMicrosoft = "com.microsoft";
constexpr const char* kOwn = "onnxlocal";  // The plugin's own operators: plugin/names.h.

bool is_integer(ElementType type) {
  return type == ElementType::kInt64 || type == ElementType::kInt32;
}

}  // namespace

Lowering::Method Lowering::method_for(const Node& node) {
  using Key = std::pair<std::string_view, std::string_view>;
  static const std::map<Key, Method> methods = {
      {{"", "Add"}, &Lowering::lower_add},
      {{"", "Sub"}, &Lowering::lower_subtract},
      {{"", "Mul"}, &Lowering::lower_multiply},
      {{"", "Div"}, &Lowering::lower_divide},
      {{"", "SimplifiedLayerNormalization"}, &Lowering::lower_norm},
      {{"", "RMSNormalization"}, &Lowering::lower_norm},
      {{"", "LayerNormalization"}, &Lowering::lower_layer_norm},
      {{kMicrosoft, "SkipSimplifiedLayerNormalization"}, &Lowering::lower_skip_norm},
      {{kMicrosoft, "SkipLayerNormalization"}, &Lowering::lower_skip_layer_norm},
      {{"", "Sigmoid"}, &Lowering::lower_sigmoid},
      {{"", "Tanh"}, &Lowering::lower_tanh},
      {{"", "Gelu"}, &Lowering::lower_gelu},
      {{kMicrosoft, "Gelu"}, &Lowering::lower_gelu},
      {{kMicrosoft, "BiasGelu"}, &Lowering::lower_gelu},
      {{kMicrosoft, "FastGelu"}, &Lowering::lower_fast_gelu},
      {{kMicrosoft, "QuickGelu"}, &Lowering::lower_swish},
      {{"", "Swish"}, &Lowering::lower_swish},
      {{"", "Cast"}, &Lowering::lower_cast},
      {{"", "Identity"}, &Lowering::lower_identity},
      {{"", "Shape"}, &Lowering::lower_shape},
      {{"", "ReduceSum"}, &Lowering::lower_reduce_sum},
      {{"", "Reshape"}, &Lowering::lower_reshape},
      {{"", "Squeeze"}, &Lowering::lower_squeeze},
      {{"", "Unsqueeze"}, &Lowering::lower_unsqueeze},
      {{"", "Split"}, &Lowering::lower_split},
      {{"", "Slice"}, &Lowering::lower_slice},
      {{"", "Gather"}, &Lowering::lower_gather},
      {{"", "Greater"}, &Lowering::lower_greater},
      {{"", "If"}, &Lowering::lower_if},
      {{kMicrosoft, "MatMulNBits"}, &Lowering::lower_matmul_nbits},
      {{kMicrosoft, "GatherBlockQuantized"}, &Lowering::lower_gather_quantized},
      {{kMicrosoft, "RotaryEmbedding"}, &Lowering::lower_rotary},
      {{kMicrosoft, "GroupQueryAttention"}, &Lowering::lower_group_query},
      {{kOwn, "PagedGroupQueryAttention"}, &Lowering::lower_paged_group_query},
  };
  const auto found = methods.find(Key(node.domain, node.op));
  return found == methods.end() ? nullptr : found->second;
}

std::expected<Program, std::string> Lowering::run() {
  for (const auto index : graph_.outputs) {
    program_.outputs.push_back(value(index).name);
    program_.output_types.push_back(value(index).type);
    program_.output_spaces.push_back(kNone);
    program_.output_widths.push_back(0);
  }
  for (const auto& node : graph_.nodes) {
    const auto refuse = [&](const std::string& why) {
      const auto first = node.output(0);
      return std::unexpected(text(node.domain, node.domain.empty() ? "" : ".", node.op, " ('",
                                  first == kNoValue ? "" : value(first).name, "'): ", why));
    };
    const auto method = method_for(node);
    if (method == nullptr) return refuse("an operator that the whole decoder does not have");
    if (auto problem = (this->*method)(node)) return refuse(*problem);
  }
  if (auto problem = finish_outputs()) return std::unexpected(std::move(*problem));
  return std::move(program_);
}

Problem Lowering::finish_outputs() {
  for (std::size_t i = 0; i < graph_.outputs.size(); ++i) {
    const auto problem = finish_output(static_cast<Index>(i), graph_.outputs[i]);
    if (problem) return text("the output '", program_.outputs[i], "' ", *problem);
  }
  for (const auto& cache : program_.page_caches) {
    if (cache.output == kNone) {
      return text("the pages '", program_.inputs[static_cast<std::size_t>(cache.input)],
                  "' are written and are no output");
    }
  }
  return std::nullopt;
}

Problem Lowering::finish_output(Index output, ValueIndex index) {
  const auto& lowered = lowered_[static_cast<std::size_t>(index)];
  if (const auto* pages = std::get_if<PagesValue>(&lowered)) {
    auto& cache = program_.page_caches[static_cast<std::size_t>(pages->cache)];
    if (cache.output != kNone || pages->version == 0 ||
        pages->version != cache_versions_[static_cast<std::size_t>(pages->cache)]) {
      return "is not the pages after their last layer";
    }
    cache.output = output;
    return std::nullopt;
  }
  const bool is_cache = std::ranges::any_of(program_.attentions, [output](const auto& attention) {
    return attention.present_key == output || attention.present_value == output;
  });
  if (is_cache) return std::nullopt;
  const auto* found = std::get_if<RowValue>(&lowered);
  if (found == nullptr || !found->is_plain()) return "is not rows of numbers";
  const auto type = value(index).type;
  if (type != ElementType::kFloat32 && type != ElementType::kFloat16) {
    return "is neither float32 nor float16";
  }
  const auto slot = static_cast<std::size_t>(output);
  program_.output_spaces[slot] = found->space;
  program_.output_widths[slot] = found->view.width;
  auto& buffer = program_.buffers[static_cast<std::size_t>(found->view.buffer)];
  if (type == ElementType::kFloat32 && found->view.width == buffer.width &&
      buffer.output == kNone) {
    buffer.output = output;
    return std::nullopt;
  }
  auto& store = emit(Op::kStore);
  store.a = found->view;
  store.output = output;
  return std::nullopt;
}

bool Lowering::is_used(ValueIndex index) const {
  return index != kNoValue && (value(index).is_output || !value(index).consumers.empty());
}

Problem Lowering::refuse_used(const Node& node, std::initializer_list<std::size_t> outputs) const {
  for (const auto output : outputs) {
    if (is_used(node.output(output))) return text("its output ", output, " is used");
  }
  return std::nullopt;
}

const Constant* Lowering::constant(ValueIndex index) const {
  if (index == kNoValue) return nullptr;
  if (value(index).constant) return &*value(index).constant;
  return std::get_if<Constant>(&lowered_[static_cast<std::size_t>(index)]);
}

bool Lowering::is_float(ValueIndex index) const {
  const auto type = value(index).type;
  return type == ElementType::kFloat32 || type == ElementType::kFloat16;
}

std::optional<Lowering::RowValue> Lowering::rows(ValueIndex index) {
  if (index == kNoValue) return std::nullopt;
  auto& lowered = lowered_[static_cast<std::size_t>(index)];
  if (const auto* found = std::get_if<RowValue>(&lowered)) return *found;
  // Rows that come from outside: embeddings made by another model.
  const auto& outside = value(index);
  if (!outside.is_input || !is_float(index) || outside.dims.size() < 2 || outside.dims.size() > 3 ||
      outside.dims.back() <= 0 || outside.dims.back() > 1 << 20) {
    return std::nullopt;
  }
  const auto width = static_cast<std::uint32_t>(outside.dims.back());
  const auto space = add_space({.kind = Space::Kind::kOfInput,
                                .input = input(index),
                                .axis = static_cast<std::int64_t>(outside.dims.size()) - 1});
  const auto made = new_rows(width, space);
  auto& load = emit(Op::kLoad);
  load.input = input(index);
  load.out = made.view;
  lowered = made;
  return made;
}

std::optional<Lowering::RowValue> Lowering::plain_rows(ValueIndex index) {
  auto found = rows(index);
  if (found && !found->is_plain()) return std::nullopt;
  return found;
}

Index Lowering::integers(ValueIndex index) {
  if (index == kNoValue) return kNone;
  auto& lowered = lowered_[static_cast<std::size_t>(index)];
  if (const auto* found = std::get_if<IntegerValue>(&lowered)) return found->index;
  IntegerStep step;
  if (const auto* known = constant(index)) {
    auto numbers = read_integers(*known);
    if (!numbers) return kNone;
    step = {
        .kind = IntegerStep::Kind::kConstant, .numbers = std::move(*numbers), .dims = known->dims};
  } else if (value(index).is_input && is_integer(value(index).type)) {
    step = {
        .kind = IntegerStep::Kind::kInput, .input = input(index), .rank = value(index).dims.size()};
  } else {
    return kNone;
  }
  const Index made = add_step(std::move(step));
  lowered = IntegerValue{made};
  return made;
}

std::optional<std::vector<std::int64_t>> Lowering::constant_integers(ValueIndex index) const {
  const auto* known = constant(index);
  if (known != nullptr) return read_integers(*known);
  if (index == kNoValue) return std::nullopt;
  const auto* lowered = std::get_if<IntegerValue>(&lowered_[static_cast<std::size_t>(index)]);
  if (lowered == nullptr) return std::nullopt;
  const auto& step = program_.integers[static_cast<std::size_t>(lowered->index)];
  if (step.kind != IntegerStep::Kind::kConstant) return std::nullopt;
  return step.numbers;
}

std::optional<float> Lowering::scalar(ValueIndex index) const {
  const auto* known = constant(index);
  if (known == nullptr || element_count(known->dims) != 1) return std::nullopt;
  const auto numbers = read_floats(*known);
  if (!numbers) return std::nullopt;
  return numbers->front();
}

Index Lowering::vector(ValueIndex index, std::size_t width) {
  const auto* known = constant(index);
  if (known == nullptr || element_count(known->dims) != width || known->dims.empty()) return kNone;
  if (known->type != ElementType::kFloat32 && known->type != ElementType::kFloat16) return kNone;
  const auto [place, is_new] =
      vectors_.try_emplace(index, static_cast<Index>(program_.vectors.size()));
  if (is_new) program_.vectors.push_back({value(index).name, *known});
  return place->second;
}

Index Lowering::input(ValueIndex index) {
  if (index == kNoValue || !value(index).is_input) return kNone;
  const auto [place, is_new] =
      inputs_.try_emplace(index, static_cast<Index>(program_.inputs.size()));
  if (is_new) {
    program_.inputs.push_back(value(index).name);
    program_.input_types.push_back(value(index).type);
  }
  return place->second;
}

Index Lowering::output(ValueIndex index) const {
  const auto found = std::ranges::find(graph_.outputs, index);
  if (index == kNoValue || found == graph_.outputs.end()) return kNone;
  return static_cast<Index>(found - graph_.outputs.begin());
}

Index Lowering::add_space(const Space& space) {
  const auto found = std::ranges::find(program_.spaces, space);
  if (found != program_.spaces.end()) return static_cast<Index>(found - program_.spaces.begin());
  program_.spaces.push_back(space);
  return static_cast<Index>(program_.spaces.size() - 1);
}

Index Lowering::add_step(IntegerStep step) {
  program_.integers.push_back(std::move(step));
  return static_cast<Index>(program_.integers.size() - 1);
}

Lowering::RowValue Lowering::new_rows(std::uint32_t width, Index space) {
  program_.buffers.push_back({.width = width, .space = space});
  const auto buffer = static_cast<Index>(program_.buffers.size() - 1);
  return {.view = {.buffer = buffer, .offset = 0, .width = width}, .space = space, .group = width};
}

Lowering::RowValue Lowering::emit_unary(Op op, const RowValue& a) {
  auto made = new_rows(a.view.width, a.space);
  made.group = a.group;
  auto& instruction = emit(op);
  instruction.a = a.view;
  instruction.out = made.view;
  return made;
}

}  // namespace onnxlocal::ep
