// The input gives rows of bounded numbers. Every set that this machine has must be within the
// functions' error of double precision (rows_test.cpp has the same bounds), and where IEEE
// arithmetic leaves no choice every set must give portable's bits.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cpu/fuzz_input.h"
#include "rows/exact_activation.h"
#include "rows/rows.h"

namespace onnxlocal::ep {
namespace {

using Row = std::vector<float>;
constexpr unsigned kSpread = 12;

void expect_near(double found, double wanted, double tolerance) {
  expect(std::abs(found - wanted) <= tolerance);
}

struct Inputs {
  explicit Inputs(FuzzInput& input)
      : n(input.between(1, 300)),
        a(input.numbers(n, kSpread)),
        b(input.numbers(n, kSpread)),
        weight(input.numbers(n, 4)),
        factor(input.number(kSpread)),
        cap(std::ldexp(1.0F, static_cast<int>(input.between(0, 12)) - 6)),
        is_interleaved(input.flag()),
        angles(input.numbers(n / 2, 2)) {}

  std::size_t n;
  Row a;
  Row b;
  Row weight;
  float factor;
  float cap;
  bool is_interleaved;
  Row angles;
};

constexpr float kEpsilon = 1e-5F;

void check_exact(const RowKernels& kernels, const Inputs& in) {
  Row out(in.n);
  kernels.add(in.a.data(), in.b.data(), in.n, out.data());
  for (std::size_t i = 0; i < in.n; ++i) expect(out[i] == in.a[i] + in.b[i]);
  kernels.multiply(in.a.data(), in.b.data(), in.n, out.data());
  for (std::size_t i = 0; i < in.n; ++i) expect(out[i] == in.a[i] * in.b[i]);
  kernels.scale(in.a.data(), in.factor, in.n, out.data());
  for (std::size_t i = 0; i < in.n; ++i) expect(out[i] == in.a[i] * in.factor);
}

void check_norms(const RowKernels& kernels, const Inputs& in) {
  Row sum(in.n);
  Row out(in.n);
  Row apart(in.n);
  kernels.add_rms_norm(in.a.data(), in.b.data(), in.weight.data(), kEpsilon, in.n, sum.data(),
                       out.data());
  kernels.rms_norm(sum.data(), in.weight.data(), kEpsilon, in.n, apart.data());
  double squares = 0;
  for (const float value : sum) squares += static_cast<double>(value) * value;
  const double scale = 1 / std::sqrt(squares / static_cast<double>(in.n) + double{kEpsilon});
  for (std::size_t i = 0; i < in.n; ++i) {
    expect(sum[i] == in.a[i] + in.b[i]);
    expect(out[i] == apart[i]);
    const double wanted = sum[i] * scale * in.weight[i];
    expect_near(out[i], wanted, 1e-6 * std::abs(wanted));
  }
}

void check_activations(const RowKernels& kernels, const Inputs& in) {
  Row active(in.n);
  Row gated(in.n);
  for (const Activation activation :
       {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluErf}) {
    kernels.activate(activation, in.a.data(), in.n, active.data());
    kernels.gate(activation, in.a.data(), in.b.data(), in.n, gated.data());
    for (std::size_t i = 0; i < in.n; ++i) {
      const double wanted = exact(activation, in.a[i]);
      expect_near(active[i], wanted, 2e-6 * std::abs(wanted) + 1e-34);
      expect(gated[i] == active[i] * in.b[i]);
    }
  }
  kernels.softcap(in.a.data(), in.cap, in.n, active.data());
  for (std::size_t i = 0; i < in.n; ++i) {
    const double wanted = in.cap * std::tanh(double{in.a[i]} / in.cap);
    expect_near(active[i], wanted, 1e-6 * std::abs(wanted));
  }
}

void check_rotation(const RowKernels& kernels, const Inputs& in) {
  const std::size_t half = in.angles.size();
  Row cos(half);
  Row sin(half);
  for (std::size_t i = 0; i < half; ++i) {
    cos[i] = std::cos(in.angles[i]);
    sin[i] = std::sin(in.angles[i]);
  }
  Row turned = in.a;
  kernels.rotate(turned.data(), cos.data(), sin.data(), half, in.is_interleaved);
  for (std::size_t i = 0; i < half; ++i) {
    const std::size_t first = in.is_interleaved ? 2 * i : i;
    const std::size_t second = in.is_interleaved ? 2 * i + 1 : i + half;
    const double x = in.a[first];
    const double y = in.a[second];
    // Two products and a sum, each rounded once.
    const double tolerance = 0x1p-22 * (std::abs(x) + std::abs(y));
    expect_near(turned[first], x * cos[i] - y * sin[i], tolerance);
    expect_near(turned[second], y * cos[i] + x * sin[i], tolerance);
  }
  for (std::size_t i = 2 * half; i < in.n; ++i) expect(turned[i] == in.a[i]);
}

}  // namespace
}  // namespace onnxlocal::ep

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxlocal::ep;
  FuzzInput input(data, size);
  const Inputs in(input);
  for (const InstructionSet set : available_instruction_sets()) {
    const RowKernels& kernels = row_kernels(set);
    check_exact(kernels, in);
    check_norms(kernels, in);
    check_activations(kernels, in);
    check_rotation(kernels, in);
  }
  return 0;
}
