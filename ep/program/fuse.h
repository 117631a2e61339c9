#pragma once

#include <string>

#include "program/instruction.h"

namespace onnxlocal::ep {

/// Joins instructions that one kernel does at once: Sigmoid and product into SiLU, activation and
/// product into a gate, two products and a gate into a gated product, a product and its bias, a sum
/// and its norm, a look-up and its scale, a scaled tanh into a cap. Removes what nobody reads.
///   returns: empty, or what is left that has no kernel
std::string fuse(Program& program);

}  // namespace onnxlocal::ep
