#include <fmt/format.h>

#include <array>
#include <string>

#include "import/architectures/architecture.h"

namespace onnxlocal {
namespace {

constexpr std::array kArchitectures = {&kLlama, &kQwen2};

}  // namespace

Result<const Architecture*> find_architecture(std::string_view name) {
  std::string known;
  for (const auto* architecture : kArchitectures) {
    if (architecture->name == name) return architecture;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", architecture->name);
  }
  return std::unexpected(unsupported(fmt::format("model architecture '{}' is not supported", name),
                                     "supported are " + known));
}

}  // namespace onnxlocal
