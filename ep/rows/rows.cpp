#include "rows/rows.h"

#include "rows/row_sets.h"

namespace onnxlocal::ep {

const RowKernels& row_kernels(InstructionSet set) {
  switch (set) {
#if defined(__x86_64__)
    case InstructionSet::kAvx2:
    case InstructionSet::kAvxVnni: return kAvx2Rows;
    case InstructionSet::kAvx512:
    case InstructionSet::kAvx512Bf16: return kAvx512Rows;
#elif defined(__aarch64__)
    case InstructionSet::kNeonDot:
    case InstructionSet::kNeonI8mm: return kNeonRows;
#endif
    default: return kPortableRows;
  }
}

}  // namespace onnxlocal::ep
