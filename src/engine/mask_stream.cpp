#include "engine/mask_stream.h"

#include <atomic>
#include <utility>

#include "base/check.h"

namespace onnxlocal {

/// While `is_ready` is false all else belongs to the job that will set it.
struct MaskStream::Shared {
  explicit Shared(std::unique_ptr<TokenConstraint> of) : constraint(std::move(of)) {}

  void compute() {
    if (!is_abandoned) {
      mask = constraint->mask();
      if (mask && mask->empty()) {
        mask = std::unexpected(internal_error("the constraint allows no token"));
      }
    }
    is_ready.store(true, std::memory_order_release);
  }

  void commit_and_compute(TokenId token) {
    const auto committed = is_abandoned ? Result<void>{} : constraint->commit(token);
    if (committed) return compute();
    mask = std::unexpected(committed.error());
    is_ready.store(true, std::memory_order_release);
  }

  const std::unique_ptr<TokenConstraint> constraint;
  Result<std::vector<std::uint32_t>> mask;
  std::atomic<bool> is_ready = false;
  std::atomic<bool> is_abandoned = false;
};

MaskStream::MaskStream(std::unique_ptr<TokenConstraint> constraint, MaskDispatch& dispatch)
    : shared_(std::make_shared<Shared>(std::move(constraint))), dispatch_(dispatch) {
  dispatch_([shared = shared_] { shared->compute(); });
}

MaskStream::~MaskStream() { shared_->is_abandoned = true; }

bool MaskStream::is_ready() const { return shared_->is_ready.load(std::memory_order_acquire); }

const Result<std::vector<std::uint32_t>>& MaskStream::mask() const {
  CHECK(is_ready());
  return shared_->mask;
}

void MaskStream::commit(TokenId token) {
  CHECK(is_ready());
  shared_->is_ready = false;
  dispatch_([shared = shared_, token] { shared->commit_and_compute(token); });
}

}  // namespace onnxlocal
