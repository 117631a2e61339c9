#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace onnxlocal {

/// Makes ids as Anthropic's look: a prefix and 24 letters or digits. One thread.
class IdGenerator {
 public:
  explicit IdGenerator(std::uint64_t seed) : random_(seed) {}

  std::string make(std::string_view prefix);

 private:
  std::mt19937_64 random_;
};

/// A seed that differs from process to process.
std::uint64_t random_seed();

}  // namespace onnxlocal
