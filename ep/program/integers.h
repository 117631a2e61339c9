#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "program/compiled_program.h"
#include "program/instruction.h"

namespace onnxlocal::ep {

/// A small integer tensor of a run: an input's own memory, or numbers that were computed.
class Integers {
 public:
  std::size_t count() const { return count_; }
  std::span<const std::int64_t> dims() const { return dims_; }
  /// REQUIRES: index < count().
  std::int64_t at(std::size_t index) const {
    return narrow_ != nullptr ? narrow_[index] : wide_[index];
  }
  /// The memory where it is int32, which kernels read as it is; else nullptr.
  const std::int32_t* narrow() const { return narrow_; }

  void borrow(const RunInput& input);
  void assign(std::span<const std::int64_t> numbers, std::span<const std::int64_t> dims);
  /// Room for `count` numbers of these dimensions, to be filled.
  std::span<std::int64_t> reset(std::span<const std::int64_t> dims, std::size_t count);
  void share(const Integers& other, std::span<const std::int64_t> dims);

 private:
  const std::int32_t* narrow_ = nullptr;
  const std::int64_t* wide_ = nullptr;
  std::size_t count_ = 0;
  std::vector<std::int64_t> dims_;
  std::vector<std::int64_t> own_;
};

/// Computes a program's integer steps into `values` (one for each step; kept between runs for its
/// memory). Errors: dimensions that do not fit, an index out of range.
std::optional<std::string> run_integers(const Program& program, std::span<const RunInput> inputs,
                                        std::vector<Integers>& values);

/// The rows of a space in a run.
struct SpaceRows {
  std::size_t rows = 0;
  std::vector<std::int64_t> dims;
};
std::optional<std::string> run_spaces(const Program& program, std::span<const RunInput> inputs,
                                      const std::vector<Integers>& integers,
                                      std::vector<SpaceRows>& spaces);

}  // namespace onnxlocal::ep
