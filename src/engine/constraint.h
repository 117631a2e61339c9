#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "generation/token.h"

namespace onnxlocal {

/// What the next tokens of one generation may be. One thread at a time; the engine computes masks
/// on workers while the model computes logits.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  /// Which tokens may come next: bit `t % 32` of word `t / 32` for token `t`. Where the output is
  /// complete, the model's end tokens are among them. Errors end the generation.
  virtual Result<std::vector<std::uint32_t>> mask() = 0;
  /// Takes a token that the mask allowed.
  virtual Result<void> commit(TokenId token) = 0;
};

}  // namespace onnxlocal
