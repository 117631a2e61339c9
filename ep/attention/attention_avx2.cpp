#include "attention/attention_generic.h"
#include "attention/attention_sets.h"
#include "attention/dot_avx2.h"

namespace onnxlocal::ep {

constinit const AttentionKernels kAvx2Attention =
    GenericAttention<Avx2Dot>::kernels(InstructionSet::kAvx2);

}  // namespace onnxlocal::ep
