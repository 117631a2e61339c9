#include "program/compiled_program.h"

#include <exception>
#include <mutex>
#include <utility>

#include "program/executor.h"
#include "program/fuse.h"
#include "program/lowering.h"
#include "program/plan.h"
#include "program/select_early.h"

namespace onnxlocal::ep {

namespace {

struct Planned {
  Program program;
  std::vector<Slot> slots;
};

std::expected<Planned, std::string> plan(const Graph& graph) {
  auto program = Lowering(graph).run();
  if (!program) return std::unexpected(std::move(program.error()));
  Planned planned{.program = std::move(*program), .slots = {}};
  if (auto problem = fuse(planned.program); !problem.empty()) {
    return std::unexpected(std::move(problem));
  }
  select_early(planned.program);
  if (planned.program.attentions.empty()) {
    return std::unexpected("it has no attention: not a decoder");
  }
  if (auto problem = plan_buffers(planned.program, planned.slots); !problem.empty()) {
    return std::unexpected(std::move(problem));
  }
  return planned;
}

class Decoder final : public CompiledProgram {
 public:
  Decoder(Planned planned, Weights weights, const ProgramEnvironment& environment)
      : executor_(std::move(planned.program), std::move(planned.slots), std::move(weights),
                  environment) {}
  std::span<const std::string> inputs() const override { return executor_.program().inputs; }
  std::span<const std::string> outputs() const override { return executor_.program().outputs; }
  std::optional<std::string> run(std::span<const RunInput> inputs, RunOutputs& outputs) override {
    const std::lock_guard turn(turn_);
    try {
      return executor_.run(inputs, outputs);
    } catch (const std::exception& error) {  // No memory; or what `outputs` throws.
      return error.what();
    }
  }

 private:
  std::mutex turn_;
  Executor executor_;
};

}  // namespace

std::string why_not_whole(const Graph& graph) {
  auto planned = plan(graph);
  return planned ? std::string() : std::move(planned.error());
}

std::expected<std::unique_ptr<CompiledProgram>, std::string> compile(
    const Graph& graph, const ProgramEnvironment& environment) {
  auto planned = plan(graph);
  if (!planned) return std::unexpected(std::move(planned.error()));
  try {
    auto weights = Weights::load(planned->program, environment);
    if (!weights) return std::unexpected(std::move(weights.error()));
    return std::make_unique<Decoder>(std::move(*planned), std::move(*weights), environment);
  } catch (const std::exception& error) {
    return std::unexpected(error.what());
  }
}

}  // namespace onnxlocal::ep
