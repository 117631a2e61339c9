#include "attention/attention_kernels.h"

#include "attention/attention_sets.h"

namespace onnxlocal::ep {

const AttentionKernels& attention_kernels(InstructionSet set) {
  switch (set) {
#if defined(__x86_64__)
    case InstructionSet::kAvx2: return kAvx2Attention;
    case InstructionSet::kAvxVnni: return kAvxVnniAttention;
    case InstructionSet::kAvx512: return kAvx512Attention;
    case InstructionSet::kAvx512Bf16: return kAvx512Bf16Attention;
#elif defined(__aarch64__)
    case InstructionSet::kNeonDot: return kNeonDotAttention;
    case InstructionSet::kNeonI8mm: return kNeonI8mmAttention;
#endif
    default: return kPortableAttention;
  }
}

}  // namespace onnxlocal::ep
