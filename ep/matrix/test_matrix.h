#pragma once

// What the tests of this folder share: matrices made from a seed, with their exact weights.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "cpu/number_formats.h"
#include "matrix/matrix_format.h"
#include "threads/parallel.h"

namespace onnxlocal::ep {

/// Memory aligned as packed matrices must be.
class AlignedBytes {
 public:
  explicit AlignedBytes(std::size_t size)
      : size_(size),
        data_(static_cast<std::byte*>(std::aligned_alloc(64, (size + 64) / 64 * 64)), &std::free) {
    std::memset(data_.get(), 0xa5, (size + 64) / 64 * 64);
  }
  std::span<std::byte> span() const { return {data_.get(), size_}; }

 private:
  std::size_t size_;
  std::unique_ptr<std::byte, void (*)(void*)> data_;
};

/// Runs tasks on the caller, last first.
class BackwardsParallel final : public Parallel {
 public:
  explicit BackwardsParallel(unsigned threads) : threads_(threads) {}
  unsigned threads() const override { return threads_; }
  void run(std::size_t tasks, TaskRef body) override {
    while (tasks > 0) body(--tasks);
  }

 private:
  unsigned threads_;
};

enum class TestZeros { kNone, kInteger, kFloat };

struct MatrixSpec {
  std::uint32_t rows = 16;
  std::uint32_t columns = 32;
  std::uint8_t bits = 4;
  std::uint32_t block = 32;
  TestZeros zeros = TestZeros::kNone;
  MatrixSource::Number scales_type = MatrixSource::Number::kFloat16;
  std::uint32_t seed = 1;
  /// A block's scale from a number in [-1, 1].
  std::function<float(float)> scale = [](float number) { return 0.01F * number; };
};

/// A matrix as a model holds it, and its weights in double precision.
struct TestMatrix {
  explicit TestMatrix(const MatrixSpec& spec);

  MatrixSource source;
  std::vector<double> weights;  ///< [rows][columns]
  /// [rows][columns]: |scale| * (quant + |zero|), which rounding errors are relative to.
  std::vector<double> magnitudes;

 private:
  void add_number(std::vector<std::byte>& numbers, float value) const;
  float number(const std::vector<std::byte>& numbers, std::size_t index) const;
  double zero_at(std::size_t row, std::size_t block) const;
  unsigned quant_at(std::size_t row, std::size_t column) const;

  std::vector<std::byte> quants_;
  std::vector<std::byte> scales_;
  std::vector<std::byte> integer_zeros_;
  std::vector<std::byte> float_zeros_;
};

}  // namespace onnxlocal::ep
