#include "rows/floats_avx2.h"
#include "rows/row_sets.h"
#include "rows/rows_generic.h"

namespace onnxlocal::ep {

constinit const RowKernels kAvx2Rows = GenericRows<Avx2Floats>::kernels(InstructionSet::kAvx2);

}  // namespace onnxlocal::ep
