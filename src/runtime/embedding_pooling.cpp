#include "runtime/embedding_pooling.h"

#include <cmath>

namespace onnxlocal {

std::vector<float> pool(std::span<const float> hidden, std::size_t size, Pooling pooling) {
  if (pooling == Pooling::kCls) {
    const auto first = hidden.first(size);
    return {first.begin(), first.end()};
  }
  if (pooling == Pooling::kLast) {
    const auto last = hidden.last(size);
    return {last.begin(), last.end()};
  }
  std::vector<double> sum(size);
  for (std::size_t i = 0; i < hidden.size(); ++i) sum[i % size] += hidden[i];
  const auto tokens = static_cast<double>(hidden.size() / size);
  std::vector<float> mean(size);
  for (std::size_t i = 0; i < size; ++i) mean[i] = static_cast<float>(sum[i] / tokens);
  return mean;
}

void normalize(std::span<float> vector) {
  double squares = 0;
  for (const float x : vector) squares += static_cast<double>(x) * x;
  if (squares == 0) return;
  const double scale = 1 / std::sqrt(squares);
  for (float& x : vector) x = static_cast<float>(x * scale);
}

}  // namespace onnxlocal
