#pragma once

#include "rows/rows.h"

namespace onnxlocal::ep {

// Each is defined in the file compiled for its set; there is only what the target has.
extern const RowKernels kPortableRows;
extern const RowKernels kAvx2Rows;
extern const RowKernels kAvx512Rows;
extern const RowKernels kNeonRows;

}  // namespace onnxlocal::ep
