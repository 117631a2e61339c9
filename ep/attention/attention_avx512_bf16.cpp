#include "attention/attention_generic.h"
#include "attention/attention_sets.h"
#include "attention/dot_avx512_bf16.h"

namespace onnxlocal::ep {

constinit const AttentionKernels kAvx512Bf16Attention =
    GenericAttention<Avx512Bf16Dot>::kernels(InstructionSet::kAvx512Bf16);

}  // namespace onnxlocal::ep
