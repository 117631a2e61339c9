#include "server/middleware/request_id.h"

namespace onnxlocal {

namespace {
constexpr std::string_view kAlphabet =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr int kLength = 24;
}  // namespace

std::string IdGenerator::make(std::string_view prefix) {
  std::uniform_int_distribution<std::size_t> digit(0, kAlphabet.size() - 1);
  std::string id(prefix);
  for (int i = 0; i < kLength; ++i) id += kAlphabet[digit(random_)];
  return id;
}

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

}  // namespace onnxlocal
