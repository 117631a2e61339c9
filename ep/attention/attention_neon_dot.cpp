#include "attention/attention_generic.h"
#include "attention/attention_sets.h"
#include "attention/dot_neon.h"

namespace onnxlocal::ep {

constinit const AttentionKernels kNeonDotAttention =
    GenericAttention<NeonDot>::kernels(InstructionSet::kNeonDot);

}  // namespace onnxlocal::ep
