// Instructions that look at one row at a time, and products.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/number_formats.h"
#include "graph/text.h"
#include "program/executor.h"

namespace onnxlocal::ep {

namespace {

void widen_halves(const std::byte* from, std::size_t count, float* to) {
  for (std::size_t i = 0; i < count; ++i) {
    std::uint16_t half = 0;
    std::memcpy(&half, from + i * sizeof half, sizeof half);
    to[i] = from_f16(half);
  }
}

/// Row `row` of numbers of this type, as floats.
void read_row(ElementType type, const std::byte* rows, std::size_t row, std::size_t width,
              float* out) {
  if (type == ElementType::kFloat16) {
    widen_halves(rows + row * width * 2, width, out);
  } else {
    std::memcpy(out, rows + row * width * sizeof(float), width * sizeof(float));
  }
}

/// The groups of `matrix` that hold rows [first, first + rows).
PackedMatrix part_of(const PackedMatrix& matrix, std::uint32_t first, std::uint32_t rows) {
  PackedMatrix part = matrix;
  part.format.rows = rows;
  const auto group = first / MatrixFormat::kGroupRows;
  part.packed =
      matrix.packed.subspan(group * matrix.format.group_bytes(), part.format.packed_bytes());
  return part;
}

}  // namespace

QuantizedRows Executor::quantized_at(const View& view) const {
  const auto rows = rows_of(view);
  const auto buffer = static_cast<std::size_t>(view.buffer);
  const std::size_t terms = program_.buffers[buffer].terms;
  const std::span memory(buffers_[buffer], quantized_rows_bytes(rows, view.width, terms));
  return quantized_rows_over(memory, rows, view.width, terms);
}

Executor::Problem Executor::embed(const Instruction& instruction) {
  const auto& tokens = integers_[static_cast<std::size_t>(instruction.integers)];
  const bool is_matrix = instruction.matrix != kNone;
  const auto matrix = is_matrix ? weights_.matrix(instruction.matrix) : PackedMatrix{};
  const auto* table = is_matrix ? nullptr : &weights_.table(instruction.table);
  const auto count = static_cast<std::int64_t>(is_matrix ? matrix.format.rows : table->rows);
  const auto rows = rows_of(instruction.out);
  for (std::size_t i = 0; i < rows; ++i) {
    if (tokens.at(i) < 0 || tokens.at(i) >= count) {
      return text("token ", tokens.at(i), " is not in the embedding table of ", count, " tokens");
    }
  }
  const auto out = at(instruction.out);
  const std::size_t width = instruction.out.width;
  for_rows(rows, width, [&](std::size_t row) {
    const auto token = static_cast<std::size_t>(tokens.at(row));
    float* to = out.row(row);
    if (is_matrix) {
      matrices_.dequantize_row(matrix, token, to);
    } else {
      read_row(table->type, table->bytes, token, width, to);
    }
    if (instruction.number != 1) row_kernels_.scale(to, instruction.number, width, to);
  });
  return std::nullopt;
}

Executor::Problem Executor::load(const Instruction& instruction) {
  const auto& input = inputs_[static_cast<std::size_t>(instruction.input)];
  const std::size_t width = instruction.out.width;
  if (input.dims.empty() || static_cast<std::size_t>(input.dims.back()) != width) {
    return text("an input of shape ", dims_text(input.dims), " has not ", width, " columns");
  }
  const auto out = at(instruction.out);
  for_rows(rows_of(instruction.out), width, [&](std::size_t row) {
    read_row(input.type, static_cast<const std::byte*>(input.data), row, width, out.row(row));
  });
  return std::nullopt;
}

Executor::Problem Executor::gather(const Instruction& instruction) {
  const auto& which = integers_[static_cast<std::size_t>(instruction.integers)];
  const auto& from_space = program_.buffers[static_cast<std::size_t>(instruction.a.buffer)].space;
  const auto& to_space = program_.buffers[static_cast<std::size_t>(instruction.out.buffer)].space;
  const auto axis =
      static_cast<std::size_t>(program_.spaces[static_cast<std::size_t>(to_space)].axis);
  const auto of = program_.spaces[static_cast<std::size_t>(to_space)].of;
  const auto length = spaces_[static_cast<std::size_t>(of)].dims[axis];
  const auto rows = spaces_[static_cast<std::size_t>(to_space)].rows;
  if (spaces_[static_cast<std::size_t>(from_space)].rows == 0 && rows > 0)
    return "no row to gather";
  for (std::size_t i = 0; i < which.count(); ++i) {
    if (which.at(i) < -length || which.at(i) >= length) {
      return text("row ", which.at(i), " of ", length, " rows is out of range");
    }
  }
  const auto in = at(instruction.a);
  const auto out = at(instruction.out);
  const std::size_t width = instruction.out.width;
  for_rows(rows, width, [&](std::size_t row) {
    const auto outer = static_cast<std::int64_t>(row / which.count());
    const auto index = which.at(row % which.count());
    const auto source = outer * length + (index < 0 ? index + length : index);
    std::memcpy(out.row(row), in.row(static_cast<std::size_t>(source)), width * sizeof(float));
  });
  return std::nullopt;
}

Executor::Problem Executor::rotate(const Instruction& instruction) {
  const auto& rotary = program_.rotaries[static_cast<std::size_t>(instruction.rotary)];
  const auto& tables = tables_of(rotary);
  const auto& positions = integers_[static_cast<std::size_t>(instruction.integers)];
  const auto space = program_.buffers[static_cast<std::size_t>(instruction.out.buffer)].space;
  const auto& rows = spaces_[static_cast<std::size_t>(space)];
  const bool is_offset = positions.count() == 1 && rows.rows != 1;
  if (!is_offset && positions.count() != rows.rows) {
    return text(positions.count(), " positions for ", rows.rows, " rows");
  }
  const auto length = rows.dims.empty() ? std::int64_t{1} : rows.dims.back();
  const auto position_of = [&](std::size_t row) {
    if (!is_offset) return positions.at(row);
    return positions.at(0) + static_cast<std::int64_t>(row) % length;
  };
  for (std::size_t row = 0; row < rows.rows; ++row) {
    const auto position = position_of(row);
    if (position < 0 || position >= static_cast<std::int64_t>(tables.positions)) {
      return text("position ", position, " is beyond the rotary table of ", tables.positions,
                  " positions");
    }
  }
  const auto in = at(instruction.a);
  const auto out = at(instruction.out);
  const auto* cos = weights_.vector(tables.cos);
  const auto* sin = weights_.vector(tables.sin);
  const std::size_t width = instruction.out.width;
  for_rows(rows.rows, width, [&](std::size_t row) {
    const auto first = static_cast<std::size_t>(position_of(row)) * rotary.half;
    std::memcpy(out.row(row), in.row(row), width * sizeof(float));
    for (std::size_t head = 0; head < width; head += instruction.group) {
      row_kernels_.rotate(out.row(row) + head, cos + first, sin + first, rotary.half,
                          rotary.is_interleaved);
    }
  });
  return std::nullopt;
}

void Executor::norm(const Instruction& instruction) {
  const auto a = at(instruction.a);
  const auto out = at(instruction.out);
  const auto rows = rows_of(instruction.out);
  const auto* weights = weights_.vector(instruction.vector);
  const std::size_t width = instruction.out.width;
  const float epsilon = instruction.number;
  if (instruction.op == Op::kAddNorm) {
    const auto b = at(instruction.b);
    const auto sum = at(instruction.sum);
    for_rows(rows, width, [&](std::size_t row) {
      row_kernels_.add_rms_norm(a.row(row), b.row(row), weights, epsilon, width, sum.row(row),
                                out.row(row));
    });
  } else {
    for_rows(rows, width, [&](std::size_t row) {
      for (std::size_t first = 0; first < width; first += instruction.group) {
        row_kernels_.rms_norm(a.row(row) + first, weights, epsilon, instruction.group,
                              out.row(row) + first);
      }
    });
  }
  // Not row by row above: the rows of a tile share cache lines, and belong to one thread.
  if (instruction.quantized) {
    quantize_rows(matrices_, pool_, out, quantized_at(instruction.quantized));
  }
}

void Executor::layer_norm(const Instruction& instruction) {
  const auto a = at(instruction.a);
  const auto out = at(instruction.out);
  const auto* weights = weights_.vector(instruction.vector);
  const auto* bias =
      instruction.vector_b == kNone ? nullptr : weights_.vector(instruction.vector_b);
  const std::size_t width = instruction.out.width;
  for_rows(rows_of(instruction.out), width, [&](std::size_t row) {
    const float* x = a.row(row);
    float* y = out.row(row);
    double total = 0;
    for (std::size_t i = 0; i < width; ++i) total += static_cast<double>(x[i]);
    const auto mean = static_cast<float>(total / static_cast<double>(width));
    double squares = 0;
    for (std::size_t i = 0; i < width; ++i) {
      const auto distance = static_cast<double>(x[i] - mean);
      squares += distance * distance;
    }
    const double variance = squares / static_cast<double>(width);
    const auto factor =
        static_cast<float>(1 / std::sqrt(variance + static_cast<double>(instruction.number)));
    for (std::size_t i = 0; i < width; ++i) {
      y[i] = (x[i] - mean) * factor * weights[i] + (bias != nullptr ? bias[i] : 0.0F);
    }
  });
}

void Executor::elementwise(const Instruction& instruction) {
  const auto a = at(instruction.a);
  const auto b = instruction.b ? at(instruction.b) : Rows{};
  const auto out = at(instruction.out);
  const auto* weights = instruction.vector == kNone ? nullptr : weights_.vector(instruction.vector);
  const std::size_t n = instruction.out.width;
  const auto& kernels = row_kernels_;
  const auto activation = instruction.activation;
  const auto each = [&](auto body) { for_rows(rows_of(instruction.out), n, body); };
  switch (instruction.op) {
    case Op::kGate:
      return each(
          [&](std::size_t r) { kernels.gate(activation, a.row(r), b.row(r), n, out.row(r)); });
    case Op::kAdd:
      return each([&](std::size_t r) { kernels.add(a.row(r), b.row(r), n, out.row(r)); });
    case Op::kMultiply:
      return each([&](std::size_t r) { kernels.multiply(a.row(r), b.row(r), n, out.row(r)); });
    case Op::kAddVector:
      return each([&](std::size_t r) { kernels.add(a.row(r), weights, n, out.row(r)); });
    case Op::kMultiplyVector:
      return each([&](std::size_t r) { kernels.multiply(a.row(r), weights, n, out.row(r)); });
    case Op::kScale:
      return each(
          [&](std::size_t r) { kernels.scale(a.row(r), instruction.number, n, out.row(r)); });
    case Op::kActivate:
      return each([&](std::size_t r) { kernels.activate(activation, a.row(r), n, out.row(r)); });
    default:
      return each(
          [&](std::size_t r) { kernels.softcap(a.row(r), instruction.number, n, out.row(r)); });
  }
}

void Executor::store(const Instruction& instruction) {
  const auto index = static_cast<std::size_t>(instruction.output);
  const auto a = at(instruction.a);
  const std::size_t width = instruction.a.width;
  const bool is_half = program_.output_types[index] == ElementType::kFloat16;
  std::byte* out = outputs_[index];
  for_rows(rows_of(instruction.a), width, [&](std::size_t row) {
    if (!is_half) {
      std::memcpy(out + row * width * sizeof(float), a.row(row), width * sizeof(float));
      return;
    }
    for (std::size_t i = 0; i < width; ++i) {
      const auto half = to_f16(a.row(row)[i]);
      std::memcpy(out + (row * width + i) * sizeof half, &half, sizeof half);
    }
  });
}

void Executor::product(const Instruction& instruction) {
  const ProductOutput output{
      .out = at(instruction.out),
      .bias = instruction.vector == kNone ? nullptr : weights_.vector(instruction.vector)};
  multiply(matrices_, pool_, weights_.matrix(instruction.matrix), quantized_at(instruction.a),
           output);
}

void Executor::gated_product(const Instruction& instruction) {
  const auto rows = instruction.out.width;
  const auto gate = part_of(weights_.matrix(instruction.matrix), instruction.matrix_row, rows);
  const auto up = part_of(weights_.matrix(instruction.matrix_b), instruction.matrix_b_row, rows);
  multiply_gated(matrices_, row_kernels_, pool_, gate, up, instruction.activation,
                 quantized_at(instruction.a), {.out = at(instruction.out)});
}

}  // namespace onnxlocal::ep
