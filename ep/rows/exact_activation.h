#pragma once

#include <cmath>
#include <numbers>

#include "rows/rows.h"

namespace onnxlocal::ep {

/// What tests hold the kernels to: the activation in double precision.
inline double exact(Activation activation, double x) {
  switch (activation) {
    case Activation::kSilu: return x / (1 + std::exp(-x));
    case Activation::kGeluTanh: {
      const double u = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
      return x / (1 + std::exp(-2 * u));
    }
    case Activation::kGeluErf: return x * 0.5 * std::erfc(-x / std::numbers::sqrt2);
  }
  return 0;
}

}  // namespace onnxlocal::ep
