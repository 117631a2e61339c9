#pragma once

#include <cstddef>

#include "rows/elementary.h"
#include "rows/rows.h"

namespace onnxlocal::ep {

/// The row kernels, once for all instruction sets: F is one of the Floats types.
template <class F>
class GenericRows {
 public:
  static constexpr RowKernels kernels(InstructionSet set) {
    return {.set = set,
            .rms_norm = rms_norm,
            .add_rms_norm = add_rms_norm,
            .add = add,
            .multiply = multiply,
            .scale = scale,
            .gate = gate,
            .activate = activate,
            .softcap = softcap,
            .rotate = rotate};
  }

 private:
  struct Whole {
    F load(const float* from) const { return F::load(from); }
    void store(const F& value, float* to) const { value.store(to); }
  };
  struct Part {
    std::size_t count;
    F load(const float* from) const { return F::load_first(from, count); }
    void store(const F& value, float* to) const { value.store_first(to, count); }
  };

  /// body(begin, Whole or Part) for each sixteen of n floats.
  template <class Body>
  static void each_vector(std::size_t n, Body body) {
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) body(i, Whole{});
    if (i < n) body(i, Part{n - i});
  }

  static float sum_of_squares(const float* x, std::size_t n) {
    F sums[4] = {F::all(0), F::all(0), F::all(0), F::all(0)};
    std::size_t i = 0;
    for (; i + 64 <= n; i += 64) {
      for (std::size_t j = 0; j < 4; ++j) {
        const F part = F::load(x + i + 16 * j);
        sums[j] = F::fused(part, part, sums[j]);
      }
    }
    each_vector(n - i, [&](std::size_t j, auto access) {
      const F part = access.load(x + i + j);
      sums[0] = F::fused(part, part, sums[0]);
    });
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])).sum();
  }

  static void rms_norm(const float* x, const float* weight, float epsilon, std::size_t n,
                       float* out) {
    const float mean = sum_of_squares(x, n) / static_cast<float>(n);
    const F factor = F::all(1.0F / __builtin_sqrtf(mean + epsilon));
    each_vector(n, [&](std::size_t i, auto access) {
      access.store(access.load(x + i) * factor * access.load(weight + i), out + i);
    });
  }
  static void add_rms_norm(const float* a, const float* b, const float* weight, float epsilon,
                           std::size_t n, float* sum, float* out) {
    add(a, b, n, sum);
    rms_norm(sum, weight, epsilon, n, out);
  }
  static void add(const float* a, const float* b, std::size_t n, float* out) {
    each_vector(n, [&](std::size_t i, auto access) {
      access.store(access.load(a + i) + access.load(b + i), out + i);
    });
  }
  static void multiply(const float* a, const float* b, std::size_t n, float* out) {
    each_vector(n, [&](std::size_t i, auto access) {
      access.store(access.load(a + i) * access.load(b + i), out + i);
    });
  }
  static void scale(const float* a, float factor, std::size_t n, float* out) {
    const F factors = F::all(factor);
    each_vector(n, [&](std::size_t i, auto access) {
      access.store(access.load(a + i) * factors, out + i);
    });
  }

  /// Calls body with the function of one vector that `activation` names.
  template <class Body>
  static void with_activation(Activation activation, Body body) {
    switch (activation) {
      case Activation::kSilu: return body([](const F& x) { return x * sigmoid(x, F::all(0)); });
      case Activation::kGeluTanh: return body([](const F& x) { return gelu_tanh(x); });
      case Activation::kGeluErf: return body([](const F& x) { return gelu_erf(x); });
    }
  }
  static void gate(Activation activation, const float* gate, const float* up, std::size_t n,
                   float* out) {
    with_activation(activation, [&](auto function) {
      each_vector(n, [&](std::size_t i, auto access) {
        access.store(function(access.load(gate + i)) * access.load(up + i), out + i);
      });
    });
  }
  static void activate(Activation activation, const float* x, std::size_t n, float* out) {
    with_activation(activation, [&](auto function) {
      each_vector(n, [&](std::size_t i, auto access) {
        access.store(function(access.load(x + i)), out + i);
      });
    });
  }
  static void softcap(const float* x, float cap, std::size_t n, float* out) {
    const F caps = F::all(cap);
    const F inverse = F::all(1.0F / cap);
    each_vector(n, [&](std::size_t i, auto access) {
      access.store(caps * hyperbolic_tangent(access.load(x + i) * inverse), out + i);
    });
  }

  static void rotate(float* head, const float* cos, const float* sin, std::size_t half,
                     bool interleaved) {
    if (interleaved) return rotate_interleaved(head, cos, sin, half);
    each_vector(half, [&](std::size_t i, auto access) {
      const F c = access.load(cos + i);
      const F s = access.load(sin + i);
      const F first = access.load(head + i);
      const F second = access.load(head + half + i);
      access.store(F::fused_from(second, s, first * c), head + i);
      access.store(F::fused(first, s, second * c), head + half + i);
    });
  }
  static void rotate_interleaved(float* head, const float* cos, const float* sin,
                                 std::size_t half) {
    for (std::size_t i = 0; i < half; ++i) {
      const float first = head[2 * i];
      const float second = head[2 * i + 1];
      head[2 * i] = first * cos[i] - second * sin[i];
      head[2 * i + 1] = second * cos[i] + first * sin[i];
    }
  }
};

}  // namespace onnxlocal::ep
