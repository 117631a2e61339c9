#pragma once

#include "api/fields.h"
#include "base/result.h"
#include "generation/sampling.h"

namespace onnxlocal {

/// What all wire formats call by the same names: `temperature`, `top_p`, `top_k`.
/// Errors: invalid_request.
Result<void> parse_common_sampling(const Fields& request, double temperature_max,
                                   SamplingOptions& sampling);

}  // namespace onnxlocal
