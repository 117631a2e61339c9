// Quantized matrices and embeddings.
#include <algorithm>
#include <utility>

#include "program/lowering.h"

namespace onnxlocal::ep {

namespace {

bool is_numbers(const Constant& constant) {
  return constant.type == ElementType::kFloat32 || constant.type == ElementType::kFloat16 ||
         constant.type == ElementType::kBfloat16;
}

bool is_known_form(const MatrixConstants& matrix) {
  const bool is_block =
      matrix.block == 32 || matrix.block == 64 || matrix.block == 128 || matrix.block == 256;
  return is_block && (matrix.bits == 4 || matrix.bits == 8);
}

bool is_same_place(const Constant& a, const Constant& b) {
  if (a.type != b.type || a.place.has_value() != b.place.has_value()) return false;
  if (!a.place) return a.bytes.data() == b.bytes.data() && a.bytes.size() == b.bytes.size();
  return a.place->file == b.place->file && a.place->offset == b.place->offset &&
         a.place->bytes == b.place->bytes;
}

bool is_same_matrix(const MatrixConstants& a, const MatrixConstants& b) {
  return a.rows == b.rows && a.columns == b.columns && a.bits == b.bits && a.block == b.block &&
         is_same_place(a.quants, b.quants) && is_same_place(a.scales, b.scales) &&
         a.zeros.has_value() == b.zeros.has_value() &&
         (!a.zeros || is_same_place(*a.zeros, *b.zeros));
}

/// A dimension or an attribute as a size that any model stays below; 0 where it is none.
std::uint32_t size_of(std::int64_t number) {
  constexpr std::int64_t kMost = 1 << 28;
  return number > 0 && number <= kMost ? static_cast<std::uint32_t>(number) : 0;
}

}  // namespace

/// A tied embedding has the output matrix's own bytes: one packed copy serves both.
Index Lowering::matrix(MatrixConstants constants) {
  const auto found = std::ranges::find_if(
      program_.matrices, [&](const auto& known) { return is_same_matrix(known, constants); });
  if (found != program_.matrices.end()) {
    return static_cast<Index>(found - program_.matrices.begin());
  }
  program_.matrices.push_back(std::move(constants));
  return static_cast<Index>(program_.matrices.size() - 1);
}

/// Rows in 8 bits, made once for all the matrices that take them.
View Lowering::quantized(const RowValue& x) {
  const auto found = std::ranges::find(quantized_, x.view, &Quantized::view);
  if (found != quantized_.end()) return found->quantized;
  program_.buffers.push_back({.width = x.view.width, .space = x.space, .terms = 1});
  const View made{.buffer = static_cast<Index>(program_.buffers.size() - 1),
                  .offset = 0,
                  .width = x.view.width};
  auto& quantize = emit(Op::kQuantize);
  quantize.a = x.view;
  quantize.out = made;
  quantized_.push_back({x.view, made});
  return made;
}

Problem Lowering::lower_matmul_nbits(const Node& node) {
  const auto x = plain_rows(node.input(0));
  if (!x) return "its input is not rows of numbers with a known width";
  const auto* quants = constant(node.input(1));
  const auto* scales = constant(node.input(2));
  const auto* zeros = constant(node.input(3));
  if (quants == nullptr || quants->type != ElementType::kUint8 || scales == nullptr ||
      !is_numbers(*scales)) {
    return "its weights are not constant";
  }
  if (node.input(3) != kNoValue &&
      (zeros == nullptr || (zeros->type != ElementType::kUint8 && zeros->type != scales->type))) {
    return "its zero points are neither constant bytes nor numbers of the scales' type";
  }
  if (node.input(4) != kNoValue) return "its columns are permuted (g_idx)";
  if (node.integer("weight_prepacked", 0) != 0) return "its weights are packed for another device";
  MatrixConstants constants{.name = value(node.input(1)).name,
                            .quants = *quants,
                            .scales = *scales,
                            .zeros = {},
                            .rows = size_of(node.integer("N", 0)),
                            .columns = size_of(node.integer("K", 0)),
                            .block = size_of(node.integer("block_size", 32)),
                            .bits = static_cast<std::uint8_t>(size_of(node.integer("bits", 4)))};
  if (zeros != nullptr) constants.zeros = *zeros;
  if (!is_known_form(constants)) return "only 4 and 8 bits in blocks of 32 to 256 are known";
  if (constants.columns != x->view.width) return "K is not its input's width";
  if (constants.rows == 0) return "N is missing";
  Index bias = kNone;
  if (node.input(5) != kNoValue) {
    bias = vector(node.input(5), constants.rows);
    if (bias == kNone) return "its bias is not one constant number for each column";
  }
  const auto input = quantized(*x);
  const auto made = new_rows(constants.rows, x->space);
  auto& product = emit(Op::kProduct);
  product.a = input;
  product.out = made.view;
  product.vector = bias;
  product.matrix = matrix(std::move(constants));
  define(node.output(0), made);
  return std::nullopt;
}

Problem Lowering::lower_gather_quantized(const Node& node) {
  const auto* quants = constant(node.input(0));
  const auto tokens = integers(node.input(1));
  const auto* scales = constant(node.input(2));
  const auto* zeros = constant(node.input(3));
  if (quants == nullptr || quants->type != ElementType::kUint8 || quants->dims.size() != 2 ||
      scales == nullptr || !is_numbers(*scales)) {
    return "its table is not constant bytes of two dimensions";
  }
  if (node.input(3) != kNoValue && (zeros == nullptr || zeros->type != ElementType::kUint8)) {
    return "its zero points are not constant bytes";
  }
  if (tokens == kNone) return "its indices are no integers";
  const auto axis = node.integer("quantize_axis", 1);
  if (node.integer("gather_axis", 0) != 0 || (axis != 1 && axis != -1)) {
    return "it gathers or quantizes along another axis";
  }
  const auto bits = size_of(node.integer("bits", 4));
  if (bits != 4 && bits != 8) return "only 4 and 8 bits are known";
  MatrixConstants constants{.name = value(node.input(0)).name,
                            .quants = *quants,
                            .scales = *scales,
                            .zeros = {},
                            .rows = size_of(quants->dims[0]),
                            .columns = size_of(quants->dims[1] * (bits == 4 ? 2 : 1)),
                            .block = size_of(node.integer("block_size", 128)),
                            .bits = static_cast<std::uint8_t>(bits)};
  if (zeros != nullptr) constants.zeros = *zeros;
  if (!is_known_form(constants) || constants.rows == 0 || constants.columns == 0) {
    return "only blocks of 32 to 256 are known";
  }
  const auto space = add_space({.kind = Space::Kind::kOfIntegers, .integers = tokens});
  const auto made = new_rows(constants.columns, space);
  auto& embed = emit(Op::kEmbed);
  embed.integers = tokens;
  embed.out = made.view;
  embed.number = 1;
  embed.matrix = matrix(std::move(constants));
  define(node.output(0), made);
  return std::nullopt;
}

/// Gather from a constant table of numbers. REQUIRES: lower_gather found the table.
Problem Lowering::lower_embedding(const Node& node) {
  const auto* table = constant(node.input(0));
  const auto tokens = integers(node.input(1));
  if (tokens == kNone) return "its indices are no integers";
  if (table->dims.size() != 2 || node.integer("axis", 0) != 0 ||
      (table->type != ElementType::kFloat32 && table->type != ElementType::kFloat16)) {
    return "only rows of a table of float32 or float16 are known";
  }
  const auto width = size_of(table->dims[1]);
  if (width == 0 || size_of(table->dims[0]) == 0) return "its table is empty";
  const auto [place, is_new] =
      tables_.try_emplace(node.input(0), static_cast<Index>(program_.tables.size()));
  if (is_new) {
    program_.tables.push_back({value(node.input(0)).name, *table});
    program_.table_widths.push_back(width);
  }
  const auto made =
      new_rows(width, add_space({.kind = Space::Kind::kOfIntegers, .integers = tokens}));
  auto& embed = emit(Op::kEmbed);
  embed.integers = tokens;
  embed.out = made.view;
  embed.number = 1;
  embed.table = place->second;
  define(node.output(0), made);
  return std::nullopt;
}

}  // namespace onnxlocal::ep
