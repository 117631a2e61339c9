#pragma once

namespace onnxlocal::ep {

// Elementary functions of sixteen floats, once for all instruction sets. The coefficients are
// minimax fits of the relative error.

/// 2^x for x <= 0, relative error below 2e-7; below 2^-127 it is less than the smallest normal
/// number, or zero. NaN stays NaN.
template <class F>
[[gnu::always_inline]] inline F power_of_two(const F& x) {
  const F clamped = F::larger(F::all(-127.0F), x);
  const F n = F::nearest(clamped);
  const F r = clamped - n;
  F sum = F::fused(F::all(0.0013276466634124517F), r, F::all(0.009675541892647743F));
  sum = F::fused(sum, r, F::all(0.05550713464617729F));
  sum = F::fused(sum, r, F::all(0.24022120237350464F));
  sum = F::fused(sum, r, F::all(0.6931469440460205F));
  return F::times_power_of_two(F::fused(sum, r, F::all(1.0F)), n);
}

/// e^(x + low) for x <= 0 (or hardly above) and a tiny low; zero below the smallest normal number.
template <class F>
[[gnu::always_inline]] inline F exponential(const F& x, const F& low) {
  const F smallest = F::all(-87.336F);
  const F clamped = F::larger(smallest, x);
  const F n = F::nearest(clamped * F::all(1.4426950408889634F));
  // log(2) in two parts, of which the first times n is exact.
  F r = F::fused_from(n, F::all(0.693359375F), clamped);
  r = F::fused_from(n, F::all(-0.00021219444170128554F), r) + low;
  F sum = F::fused(F::all(0.0013836839934810996F), r, F::all(0.008374817669391632F));
  sum = F::fused(sum, r, F::all(0.04166822507977486F));
  sum = F::fused(sum, r, F::all(0.16666419804096222F));
  sum = F::fused(sum, r, F::all(0.49999991059303284F));
  sum = F::fused(sum * r, r, r) + F::all(1.0F);
  return F::where_less(x, smallest, F::all(0.0F), F::times_power_of_two(sum, n));
}

/// 1 / (1 + e^-(x + low)), without overflow and with a small relative error on both sides.
template <class F>
inline F sigmoid(const F& x, const F& low) {
  const F zero = F::all(0.0F);
  const F one = F::all(1.0F);
  const F lower_half = F::where_less(x, zero, low, zero - low);
  const F e = exponential(zero - F::absolute(x), lower_half);
  return F::where_less(x, zero, e, one) / (one + e);
}

/// x * (1 + tanh(u)) / 2, u = sqrt(2 / pi) * (x + 0.044715 x^3): that is x * sigmoid(2 u).
template <class F>
inline F gelu_tanh(const F& x) {
  // 2 u in two floats: far below zero its error is the result's relative error.
  const F cube = F::all(0.044715F);
  const F square = x * x;
  const F product = square * cube;
  const F one = F::all(1.0F);
  const F sum = product + one;
  const F back = sum - product;
  F low = (product - (sum - back)) + (one - back);
  low = low + F::product_error(square, cube, product);
  low = low + F::product_error(x, x, square) * cube;
  const F slope = F::all(1.5957691669464111F);  // 2 sqrt(2 / pi)
  const F scaled = x * slope;
  F scaled_low = F::product_error(x, slope, scaled);
  scaled_low = F::fused(x, F::all(-4.534068054340423e-08F), scaled_low);
  const F u = scaled * sum;
  const F u_low =
      F::fused(scaled, low, F::fused(scaled_low, sum, F::product_error(scaled, sum, u)));
  // Beyond 100 the result is x or zero, and the small parts may be infinity less infinity.
  const F far = F::all(100.0F);
  const F kept = F::where_less(F::absolute(x), F::all(16.0F), u_low, F::all(0.0F));
  const F clamped = F::where_less(
      far, F::absolute(u), F::where_less(x, F::all(0.0F), F::all(-128.0F), F::all(128.0F)), u);
  return x * sigmoid(clamped, kept);
}

/// x * Phi(x). erfc(z) = t * e^(-z^2 + P(t)), t = 1 / (1 + z / 2), z >= 0, relative error 1.2e-7
/// (W. H. Press et al., Numerical Recipes, erfcc).
template <class F>
inline F gelu_erf(const F& x) {
  const F one = F::all(1.0F);
  const F half = F::all(0.5F);
  const F magnitude = F::absolute(x);
  const F t = one / F::fused(magnitude, F::all(0.35355339059327373F), one);
  F sum = F::fused(t, F::all(0.17087277F), F::all(-0.82215223F));
  sum = F::fused(sum, t, F::all(1.48851587F));
  sum = F::fused(sum, t, F::all(-1.13520398F));
  sum = F::fused(sum, t, F::all(0.27886807F));
  sum = F::fused(sum, t, F::all(-0.18628806F));
  sum = F::fused(sum, t, F::all(0.09678418F));
  sum = F::fused(sum, t, F::all(0.37409196F));
  sum = F::fused(sum, t, F::all(1.00002368F));
  sum = F::fused(sum, t, F::all(-1.26551223F));
  // z^2 = x^2 / 2 in two floats; beyond 14 erfc is zero.
  const F far = F::all(14.0F);
  const F near = F::where_less(far, magnitude, far, magnitude);
  const F square = near * near * half;
  const F square_low = F::product_error(near * half, near, square);
  const F zero = F::all(0.0F);
  const F tail = half * t * exponential(sum, zero) * exponential(zero - square, zero - square_low);
  return x * F::where_less(x, zero, tail, one - tail);
}

/// tanh(x): a polynomial near zero, e^-2|x| elsewhere.
template <class F>
inline F hyperbolic_tangent(const F& x) {
  const F zero = F::all(0.0F);
  const F one = F::all(1.0F);
  const F magnitude = F::absolute(x);
  const F e = exponential(magnitude * F::all(-2.0F), zero);
  const F outer = (one - e) / (one + e);
  const F square = x * x;
  F sum = F::fused(F::all(-5.70498872745E-3F), square, F::all(2.06390887954E-2F));
  sum = F::fused(sum, square, F::all(-5.37397155531E-2F));
  sum = F::fused(sum, square, F::all(1.33314422036E-1F));
  sum = F::fused(sum, square, F::all(-3.33332819422E-1F));
  const F inner = F::fused(sum * square, x, x);
  const F far = F::where_less(x, zero, zero - outer, outer);
  return F::where_less(magnitude, F::all(0.625F), inner, far);
}

}  // namespace onnxlocal::ep
