#include "attention/attention_generic.h"
#include "attention/attention_sets.h"
#include "attention/dot_portable.h"

namespace onnxlocal::ep {

constinit const AttentionKernels kPortableAttention =
    GenericAttention<PortableDot>::kernels(InstructionSet::kPortable);

}  // namespace onnxlocal::ep
