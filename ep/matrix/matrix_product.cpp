#include "matrix/matrix_product.h"

#include <algorithm>
#include <array>

#include "matrix/dequantize.h"
#include "matrix/kernel_table.h"
#include "matrix/row_tiles.h"

namespace onnxlocal::ep {

namespace {

class TableKernels final : public MatrixKernels {
 public:
  TableKernels(InstructionSet set, const KernelTable& table) : set_(set), table_(table) {}
  InstructionSet set() const override { return set_; }
  void quantize_blocks(const float* x, std::size_t row, std::size_t first, std::size_t last,
                       const QuantizedRows& out) const override {
    table_.quantize_blocks({.x = x, .row = row, .first = first, .last = last, .out = out});
  }
  void multiply_groups(const PackedMatrix& matrix, const QuantizedRows& x, std::size_t first,
                       std::size_t last, const ProductOutput& output) const override {
    table_.multiply_groups(matrix, x, first, last, output);
  }
  void dequantize_row(const PackedMatrix& matrix, std::size_t row, float* out) const override {
    ep::dequantize_row(matrix, row, out);
  }

 private:
  InstructionSet set_;
  const KernelTable& table_;
};

std::size_t divide_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// Rows whose activations stay in a core's second-level cache while all groups pass by.
constexpr std::size_t kRowBlockBytes = 384U * 1024U;
constexpr std::size_t kRowBlockMax = 512;
/// Weights that a task reads: long enough for a memory stream, short enough to share out evenly.
constexpr std::size_t kTaskBytes = 96U * 1024U;
/// Tasks for each thread, so that a slow one costs little.
constexpr std::size_t kTasksPerThread = 8;

/// How a product is cut into tasks: blocks of rows, and chunks of groups within each.
struct Plan {
  std::size_t rows;  ///< In a block of rows: a multiple of kTileRows.
  std::size_t row_blocks;
  std::size_t groups;  ///< In a chunk.
  std::size_t chunks;
  std::size_t tasks() const { return row_blocks * chunks; }
};

/// `read_bytes`: of packed weights for each group.
Plan make_plan(const Parallel& parallel, const QuantizedRows& x, std::size_t groups,
               std::size_t read_bytes) {
  const std::size_t row_bytes = x.records() * kRecordBytesPerRow;
  const std::size_t tiles = divide_up(x.rows, kTileRows);
  const std::size_t fitting = std::clamp<std::size_t>(kRowBlockBytes / (row_bytes * kTileRows), 1,
                                                      kRowBlockMax / kTileRows);
  // Even blocks: 33 tiles are 3 times 11 and not 2 times 16 and one.
  const std::size_t row_blocks = divide_up(tiles, fitting);
  Plan plan{
      .rows = divide_up(tiles, row_blocks) * kTileRows, .row_blocks = 0, .groups = 0, .chunks = 0};
  plan.row_blocks = divide_up(x.rows, plan.rows);
  const std::size_t wanted = parallel.threads() == 1 ? 1 : parallel.threads() * kTasksPerThread;
  const std::size_t by_tasks = divide_up(groups, divide_up(wanted, plan.row_blocks));
  const std::size_t by_bytes = std::max<std::size_t>(kTaskBytes / read_bytes, 1);
  plan.groups = std::max<std::size_t>(std::min(by_tasks, by_bytes), 1);
  plan.chunks = divide_up(groups, plan.groups);
  return plan;
}

/// The part of `x` and of the output that a task has, and its groups.
struct Part {
  QuantizedRows x;
  ProductOutput output;
  std::size_t first;
  std::size_t last;
};

Part part_of(const Plan& plan, std::size_t task, std::size_t groups, const QuantizedRows& x,
             const ProductOutput& output) {
  const std::size_t row = task / plan.chunks * plan.rows;
  const std::size_t first = task % plan.chunks * plan.groups;
  Part part{
      .x = x, .output = output, .first = first, .last = std::min(first + plan.groups, groups)};
  part.x.rows = std::min(plan.rows, x.rows - row);
  part.x.data = x.data + tile_offset(row, x.records());
  part.output.out.data = output.out.row(row);
  return part;
}

/// Floats of a task's scratch: 32 KB, which stay in the first-level cache where rows are few.
constexpr std::size_t kScratchFloats = 8192;
static_assert(kScratchFloats >= kRowBlockMax * MatrixFormat::kGroupRows);

struct GatedProduct {
  const MatrixKernels& kernels;
  const RowKernels& rows;
  const PackedMatrix& gate;
  const PackedMatrix& up;
  Activation activation;
};

/// Groups [first, last) of both matrices: the gate's into scratch, the other's into their place.
void multiply_gated_groups(const GatedProduct& product, const Part& part, std::size_t first,
                           std::size_t last, const std::byte* next_read) {
  constexpr std::size_t kLanes = MatrixFormat::kGroupRows;
  alignas(64) float scratch[kScratchFloats];
  const std::size_t group_bytes = product.up.format.group_bytes();
  const std::size_t stride = (last - first) * kLanes;
  ProductOutput gate;
  gate.out = Rows{.data = scratch, .stride = stride};
  gate.first_column = first * kLanes;
  gate.next_read = product.up.packed.data() + first * group_bytes;
  product.kernels.multiply_groups(product.gate, part.x, first, last, gate);
  ProductOutput up = part.output;
  up.next_read = next_read;
  product.kernels.multiply_groups(product.up, part.x, first, last, up);
  const std::size_t begin = first * kLanes;
  const std::size_t count = std::min(stride, product.up.format.rows - begin);
  for (std::size_t row = 0; row < part.x.rows; ++row) {
    float* out = up.out.row(row) + begin - up.first_column;
    product.rows.gate(product.activation, scratch + row * stride, out, count, out);
  }
}

}  // namespace

std::size_t quantized_rows_bytes(std::size_t rows, std::size_t columns, std::size_t terms) {
  const std::size_t padded =
      rows == 0 ? 0 : (rows - 1) / kTileRows * kTileRows + height_at(rows, rows - 1);
  return divide_up(columns, kBlockColumns) * terms * padded * kRecordBytesPerRow;
}

QuantizedRows quantized_rows_over(std::span<std::byte> memory, std::size_t rows,
                                  std::size_t columns, std::size_t terms) {
  return {.rows = rows, .columns = columns, .terms = terms, .data = memory.data()};
}

const MatrixKernels& matrix_kernels(InstructionSet set) {
#if defined(__x86_64__)
  static const TableKernels kAvx2(InstructionSet::kAvx2, kAvx2Kernels);
  static const TableKernels kAvxVnni(InstructionSet::kAvxVnni, kAvxVnniKernels);
  static const TableKernels kAvx512(InstructionSet::kAvx512, kAvx512Kernels);
  static const TableKernels kAvx512Bf16(InstructionSet::kAvx512Bf16, kAvx512Kernels);
  if (set == InstructionSet::kAvx2) return kAvx2;
  if (set == InstructionSet::kAvxVnni) return kAvxVnni;
  if (set == InstructionSet::kAvx512) return kAvx512;
  if (set == InstructionSet::kAvx512Bf16) return kAvx512Bf16;
#elif defined(__aarch64__)
  static const TableKernels kNeonDot(InstructionSet::kNeonDot, kNeonDotKernels);
  static const TableKernels kNeonI8mm(InstructionSet::kNeonI8mm, kNeonI8mmKernels);
  if (set == InstructionSet::kNeonDot) return kNeonDot;
  if (set == InstructionSet::kNeonI8mm) return kNeonI8mm;
#endif
  static const TableKernels kPortable(InstructionSet::kPortable, kPortableKernels);
  return kPortable;
}

void quantize_rows(const MatrixKernels& kernels, Parallel& parallel, ConstRows x,
                   const QuantizedRows& out) {
  // Below, waking threads costs more than it saves.
  constexpr std::size_t kValuesPerTask = 4096;
  const std::size_t blocks = out.blocks();
  // A tile is one task, since its rows share lines; a few high ones are cut by columns.
  const std::size_t tiles = divide_up(out.rows, kTileRows);
  const std::size_t values = std::min(out.rows, kTileRows) * out.columns;
  const std::size_t parts =
      tiles >= 2 * parallel.threads()
          ? 1
          : std::clamp<std::size_t>(values / kValuesPerTask, 1, 2 * parallel.threads());
  const std::size_t part_blocks = divide_up(blocks, parts);
  const auto quantize = [&](std::size_t task) {
    const std::size_t first_row = task / parts * kTileRows;
    const std::size_t last_row = std::min(first_row + kTileRows, out.rows);
    const std::size_t begin = std::min(task % parts * part_blocks, blocks);
    const std::size_t end = std::min(begin + part_blocks, blocks);
    for (std::size_t row = first_row; row < last_row; ++row) {
      kernels.quantize_blocks(x.row(row), row, begin, end, out);
    }
  };
  if (out.rows * out.columns <= kValuesPerTask) {
    for (std::size_t task = 0; task < tiles * parts; ++task) quantize(task);
  } else {
    parallel.run(tiles * parts, quantize);
  }
}

void multiply(const MatrixKernels& kernels, Parallel& parallel, const PackedMatrix& matrix,
              const QuantizedRows& x, const ProductOutput& output) {
  if (x.rows == 0) return;
  const std::size_t groups = matrix.format.groups();
  const Plan plan = make_plan(parallel, x, groups, matrix.format.group_bytes());
  const std::size_t chunk_bytes = plan.groups * matrix.format.group_bytes();
  parallel.run(plan.tasks(), [&](std::size_t task) {
    Part part = part_of(plan, task, groups, x, output);
    // Threads that run evenly take every n-th task.
    const std::size_t next = task + parallel.threads();
    if (next < plan.tasks()) {
      part.output.next_read = matrix.packed.data() + next % plan.chunks * chunk_bytes;
    }
    kernels.multiply_groups(matrix, part.x, part.first, part.last, part.output);
  });
}

void multiply_gated(const MatrixKernels& kernels, const RowKernels& rows, Parallel& parallel,
                    const PackedMatrix& gate, const PackedMatrix& up, Activation activation,
                    const QuantizedRows& x, const ProductOutput& output) {
  if (x.rows == 0) return;
  const GatedProduct product{
      .kernels = kernels, .rows = rows, .gate = gate, .up = up, .activation = activation};
  const std::size_t groups = up.format.groups();
  const std::size_t gate_bytes = gate.format.group_bytes();
  const Plan plan = make_plan(parallel, x, groups, gate_bytes + up.format.group_bytes());
  parallel.run(plan.tasks(), [&](std::size_t task) {
    const Part part = part_of(plan, task, groups, x, output);
    const std::size_t at_once = kScratchFloats / (part.x.rows * MatrixFormat::kGroupRows);
    for (std::size_t first = part.first; first < part.last; first += at_once) {
      const std::size_t last = std::min(first + at_once, part.last);
      const std::byte* next = last < part.last ? gate.packed.data() + last * gate_bytes : nullptr;
      multiply_gated_groups(product, part, first, last, next);
    }
  });
}

}  // namespace onnxlocal::ep
