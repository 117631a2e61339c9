#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "engine/constraint.h"
#include "generation/token.h"

namespace onnxlocal {

/// Work that may be done on any thread, once.
using MaskJob = std::move_only_function<void()>;
/// Has a job done soon, on another thread or at once. Called on the engine's thread.
using MaskDispatch = std::move_only_function<void(MaskJob)>;

/// The masks of one generation, each asked for as soon as the token before it is known, so that it
/// is computed while the model computes. Engine thread only; what the jobs need is shared with
/// them, so it may be destroyed while one runs.
class MaskStream {
 public:
  /// Asks for the first mask. `dispatch` outlives it.
  MaskStream(std::unique_ptr<TokenConstraint> constraint, MaskDispatch& dispatch);
  /// A job that has not begun will do nothing.
  ~MaskStream();
  MaskStream(const MaskStream&) = delete;
  MaskStream& operator=(const MaskStream&) = delete;

  /// Whether the mask of the next token has come, or the reason why there is none.
  bool is_ready() const;
  /// The next token's mask, see `TokenConstraint::mask`; not empty, valid until `commit`.
  ///   REQUIRES: is_ready
  ///   errors:   internal (the constraint failed)
  const Result<std::vector<std::uint32_t>>& mask() const;
  /// The next token was chosen: asks for the mask behind it.
  ///   REQUIRES: is_ready
  void commit(TokenId token);

 private:
  struct Shared;
  /// Shared with the job on its way, which may outlive this.
  const std::shared_ptr<Shared> shared_;
  MaskDispatch& dispatch_;
};

}  // namespace onnxlocal
