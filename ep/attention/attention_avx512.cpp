#include "attention/attention_generic.h"
#include "attention/attention_sets.h"
#include "attention/dot_avx512.h"

namespace onnxlocal::ep {

constinit const AttentionKernels kAvx512Attention =
    GenericAttention<Avx512Dot>::kernels(InstructionSet::kAvx512);

}  // namespace onnxlocal::ep
