#pragma once

#include "plugin/ort_api.h"
#include "threads/parallel.h"

namespace onnxlocal::ep {

/// ONNX Runtime's threads, for the time of one run of a kernel that stands in a foreign graph: our
/// own beside them would fight for the same cores.
class ForeignThreads final : public Parallel {
 public:
  /// `threads`: how many are likely there; ONNX Runtime does not say.
  ForeignThreads(const OrtKernelContext* context, unsigned threads)
      : context_(context), threads_(threads) {}
  unsigned threads() const override { return threads_; }
  void run(std::size_t tasks, TaskRef body) override;

 private:
  const OrtKernelContext* context_;
  unsigned threads_;
};

}  // namespace onnxlocal::ep
