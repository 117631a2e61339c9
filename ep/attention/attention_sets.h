#pragma once

#include "attention/attention_kernels.h"

namespace onnxlocal::ep {

// Each is defined in the file compiled for its set; there is only what the target has.
extern const AttentionKernels kPortableAttention;
extern const AttentionKernels kAvx2Attention;
extern const AttentionKernels kAvxVnniAttention;
extern const AttentionKernels kAvx512Attention;
extern const AttentionKernels kAvx512Bf16Attention;
extern const AttentionKernels kNeonDotAttention;
extern const AttentionKernels kNeonI8mmAttention;

}  // namespace onnxlocal::ep
