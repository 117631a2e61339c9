// Until ep/program is in this build: every graph runs by single nodes.

#include "program/compiled_program.h"

namespace onnxlocal::ep {

std::string why_not_whole(const Graph& /*graph*/) { return "ep/program is not in this build"; }

std::expected<std::unique_ptr<CompiledProgram>, std::string> compile(
    const Graph& graph, const ProgramEnvironment& /*environment*/) {
  return std::unexpected(why_not_whole(graph));
}

}  // namespace onnxlocal::ep
