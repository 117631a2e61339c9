#pragma once

#include <cstdint>

namespace onnxlocal {

/// How much a decoder holds.
struct DecoderSizes {
  std::uint32_t slots = 0;
  std::uint32_t slot_tokens_max = 0;
  std::uint32_t chunk_tokens_max = 0;
};

}  // namespace onnxlocal
