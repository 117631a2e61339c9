#include "attention/attention_generic.h"
#include "attention/attention_sets.h"
#include "attention/bytes_avx_vnni.h"
#include "attention/dot_avx2.h"

namespace onnxlocal::ep {

namespace {

struct AvxVnniDot : Avx2Dot {
  using Bytes = AvxVnniBytes;
};

}  // namespace

constinit const AttentionKernels kAvxVnniAttention =
    GenericAttention<AvxVnniDot>::kernels(InstructionSet::kAvxVnni);

}  // namespace onnxlocal::ep
