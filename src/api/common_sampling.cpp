#include "api/common_sampling.h"

#include <algorithm>
#include <limits>

namespace onnxlocal {

Result<void> parse_common_sampling(const Fields& request, double temperature_max,
                                   SamplingOptions& sampling) {
  TRY(const auto temperature, request.number("temperature", 0, temperature_max));
  if (temperature) sampling.temperature = static_cast<float>(*temperature);
  TRY(const auto top_p, request.number("top_p", 0, 1));
  // 0 means the most likely token alone: so does the least positive share.
  if (top_p) {
    sampling.top_p = std::max(static_cast<float>(*top_p), std::numeric_limits<float>::min());
  }
  TRY(const auto top_k, request.whole_number("top_k", 0));
  if (top_k) sampling.top_k = *top_k;
  return {};
}

}  // namespace onnxlocal
