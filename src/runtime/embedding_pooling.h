#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/embedding_folder.h"

namespace onnxlocal {

/// One vector of a text's tokens.
///   hidden: [tokens, size], padding left out; at least one token
std::vector<float> pool(std::span<const float> hidden, std::size_t size, Pooling pooling);

/// Scales to the length 1; zeros stay zeros.
void normalize(std::span<float> vector);

}  // namespace onnxlocal
