#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "attention/attention.h"
#include "matrix/matrix_product.h"
#include "program/compiled_program.h"
#include "program/instruction.h"
#include "program/integers.h"
#include "program/plan.h"
#include "program/profile.h"
#include "program/scratch.h"
#include "program/sequence_rows.h"
#include "program/weights.h"

namespace onnxlocal::ep {

/// Runs a program. Holds the memory of a run, which it keeps for the next. One run at a time.
class Executor {
 public:
  Executor(Program program, std::vector<Slot> slots, Weights weights,
           const ProgramEnvironment& environment);
  const Program& program() const { return program_; }
  std::optional<std::string> run(std::span<const RunInput> inputs, RunOutputs& outputs);

 private:
  using Problem = std::optional<std::string>;
  struct Cache {
    std::byte* pages = nullptr;
    std::size_t page_bytes = 0;
    std::size_t page_count = 0;
  };

  // Before the first instruction (executor.cpp).
  Problem check_inputs(std::span<const RunInput> inputs) const;
  Problem prepare_sequences(std::span<const RunInput> inputs);
  Problem allocate_outputs(RunOutputs& outputs);
  Problem allocate(RunOutputs& outputs, Index index, std::span<const std::int64_t> dims);
  Problem prepare_page_cache(const PageCache& cache, std::span<const RunInput> inputs,
                             RunOutputs& outputs, Cache& prepared);
  Problem place_buffers();
  Problem execute(const Instruction& instruction);

  /// The tables that count in the current run.
  const RotaryTables& tables_of(const Rotary& rotary) const;

  // Rows (execute_rows.cpp).
  template <class Body>
  void for_rows(std::size_t rows, std::size_t floats, Body body);
  std::size_t rows_of(const View& view) const;
  Rows at(const View& view) const;
  QuantizedRows quantized_at(const View& view) const;
  Problem embed(const Instruction& instruction);
  Problem load(const Instruction& instruction);
  Problem gather(const Instruction& instruction);
  Problem rotate(const Instruction& instruction);
  void norm(const Instruction& instruction);
  void layer_norm(const Instruction& instruction);
  void elementwise(const Instruction& instruction);
  void store(const Instruction& instruction);
  void product(const Instruction& instruction);
  void gated_product(const Instruction& instruction);

  // Attention (execute_attention.cpp).
  Problem check_attention(const Attention& attention, std::span<const RunInput> inputs) const;
  Problem prepare_caches(const Attention& attention, std::span<const RunInput> inputs,
                         RunOutputs& outputs);
  void attend(const Instruction& instruction);
  void norm_and_rotate(const Instruction& instruction, const Attention& attention);
  void write_rows(const Instruction& instruction, const Attention& attention);
  void attend_caches(const Instruction& instruction, const Attention& attention);

  Program program_;
  std::vector<Slot> slots_;
  Weights weights_;
  Parallel& pool_;
  const MatrixKernels& matrices_;
  const RowKernels& row_kernels_;
  const AttentionKernels& attention_kernels_;
  Profile profile_;

  // Of the current run.
  std::span<const RunInput> inputs_;
  std::vector<Integers> integers_;
  std::vector<SpaceRows> spaces_;
  std::vector<SequenceBatch> batches_;
  std::vector<Cache> caches_;
  std::vector<std::byte*> outputs_;
  std::vector<std::byte*> buffers_;
  std::vector<std::size_t> slot_offsets_;
  std::vector<ForeignSequence> foreign_;
  ScratchMemory scratch_;
  std::vector<std::byte> attention_scratch_;
};

/// Rows are shared out over threads from this many numbers on; below, a dispatch costs more than
/// it saves.
inline constexpr std::size_t kNumbersPerTask = 8192;

template <class Body>
void Executor::for_rows(std::size_t rows, std::size_t floats, Body body) {
  if (rows * floats < 2 * kNumbersPerTask || pool_.threads() == 1) {
    for (std::size_t row = 0; row < rows; ++row) body(row);
    return;
  }
  const std::size_t per_task = std::max<std::size_t>(1, kNumbersPerTask / floats);
  pool_.run((rows + per_task - 1) / per_task, [&](std::size_t task) {
    const std::size_t last = std::min(rows, (task + 1) * per_task);
    for (std::size_t row = task * per_task; row < last; ++row) body(row);
  });
}

inline std::size_t Executor::rows_of(const View& view) const {
  const auto& buffer = program_.buffers[static_cast<std::size_t>(view.buffer)];
  return spaces_[static_cast<std::size_t>(buffer.space)].rows;
}

inline Rows Executor::at(const View& view) const {
  const auto index = static_cast<std::size_t>(view.buffer);
  auto* first = reinterpret_cast<float*>(buffers_[index]);
  return {.data = first + view.offset, .stride = program_.buffers[index].width};
}

}  // namespace onnxlocal::ep
