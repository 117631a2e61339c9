#include "attention/attention_generic.h"
#include "attention/attention_sets.h"
#include "attention/dot_neon_bf16.h"

namespace onnxlocal::ep {

constinit const AttentionKernels kNeonI8mmAttention =
    GenericAttention<NeonBf16Dot>::kernels(InstructionSet::kNeonI8mm);

}  // namespace onnxlocal::ep
