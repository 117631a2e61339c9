#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cpu/instruction_set.h"
#include "graph/graph.h"
#include "threads/parallel.h"

namespace onnxlocal::ep {

/// What a program runs on. `pool` outlives the program.
struct ProgramEnvironment {
  Parallel& pool;
  InstructionSet set = InstructionSet::kPortable;
  std::filesystem::path packed_file;  ///< Of packed weights; empty: packed in memory.
  std::filesystem::path profile;  ///< Receives lines of JSON at the end; empty: no clock is read.
  std::function<void(std::string_view)> warn;  ///< E.g. a packed file that cannot be kept. Or none.
};

/// A tensor that a run is given. Borrowed for the run.
struct RunInput {
  ElementType type = ElementType::kOther;
  std::span<const std::int64_t> dims;
  const void* data = nullptr;
};

/// Where a run's outputs go: one call for each output, in any order, on the calling thread.
class RunOutputs {
 public:
  virtual ~RunOutputs() = default;
  /// Memory for the output of this index (CompiledProgram::outputs) with these dimensions, in the
  /// type that the graph declares; nullptr where there is none (the run then ends in an error).
  /// May be an input's own memory: a cache that goes in and comes out.
  virtual void* allocate(std::size_t index, std::span<const std::int64_t> dims) = 0;
};

/// A whole decoder as one callable. Its constants are packed; it keeps no pointer to the graph.
class CompiledProgram {
 public:
  virtual ~CompiledProgram() = default;
  /// Names of the inputs that `run` wants, in its order: the graph's inputs that are used.
  virtual std::span<const std::string> inputs() const = 0;
  /// Names of the outputs: the graph's, in their order.
  virtual std::span<const std::string> outputs() const = 0;
  /// Computes all outputs. Any thread; runs of one program take turns. Everything that comes from
  /// outside (shapes, lengths, page and token numbers) is checked.
  ///   returns: nothing, or what was wrong; outputs then hold nothing of use, memory is intact
  virtual std::optional<std::string> run(std::span<const RunInput> inputs, RunOutputs& outputs) = 0;
};

/// Why the graph cannot run as one program (the first node or value that stands in the way, and
/// why); empty where it can. Reads no external constant.
std::string why_not_whole(const Graph& graph);

/// Lowers the graph, packs its matrices (in parallel; from the packed file where it fits) and gives
/// a program that needs the graph no longer. Peak memory: the packed matrices and little more.
///   errors: why_not_whole's; an external file that is missing, too short or cannot be read; sizes
///   of constants that do not fit their node
std::expected<std::unique_ptr<CompiledProgram>, std::string> compile(
    const Graph& graph, const ProgramEnvironment& environment);

}  // namespace onnxlocal::ep
