#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace onnxlocal::ep {

/// The instruction sets that kernels are written for. Results differ between them in the last
/// bits; within one they do not depend on how work is split.
enum class InstructionSet {
  kPortable,    ///< Plain C++.
  kAvx2,        ///< AVX2, FMA, F16C.
  kAvxVnni,     ///< AVX2 and AVX-VNNI.
  kAvx512,      ///< AVX-512 F, BW, DQ, VL and VNNI.
  kAvx512Bf16,  ///< And AVX512-BF16.
  kNeonDot,     ///< ARMv8.2 with the dot product.
  kNeonI8mm,    ///< ARMv8.6 with i8mm and bf16.
};

/// "portable", "avx2", "avx-vnni", "avx512", "avx512-bf16", "neon-dot", "neon-i8mm".
std::string_view to_string(InstructionSet set);
std::optional<InstructionSet> parse_instruction_set(std::string_view name);

/// The sets this processor and its operating system run, slowest first. Never empty.
std::span<const InstructionSet> available_instruction_sets();

/// What to use: `wanted` by name (the option `isa`, or the environment's ONNX_LOCAL_ISA), else the
/// fastest available. `problem` says why a wanted one is not used: unknown, or not available here.
struct InstructionSetChoice {
  InstructionSet set = InstructionSet::kPortable;
  std::string problem;
};
InstructionSetChoice choose_instruction_set(std::string_view wanted);

}  // namespace onnxlocal::ep
