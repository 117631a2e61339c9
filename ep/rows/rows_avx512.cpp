#include "rows/floats_avx512.h"
#include "rows/row_sets.h"
#include "rows/rows_generic.h"

namespace onnxlocal::ep {

constinit const RowKernels kAvx512Rows =
    GenericRows<Avx512Floats>::kernels(InstructionSet::kAvx512);

}  // namespace onnxlocal::ep
