#include "rows/floats_neon.h"
#include "rows/row_sets.h"
#include "rows/rows_generic.h"

namespace onnxlocal::ep {

constinit const RowKernels kNeonRows = GenericRows<NeonFloats>::kernels(InstructionSet::kNeonDot);

}  // namespace onnxlocal::ep
