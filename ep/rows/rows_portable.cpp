#include "rows/floats_portable.h"
#include "rows/row_sets.h"
#include "rows/rows_generic.h"

namespace onnxlocal::ep {

constinit const RowKernels kPortableRows =
    GenericRows<PortableFloats>::kernels(InstructionSet::kPortable);

}  // namespace onnxlocal::ep
