#include "runtime/session_options.h"

#include <algorithm>

#include "base/environment.h"
#include "runtime/environment.h"
#include "runtime/ort_error.h"

namespace onnxlocal {

namespace {

GraphOptimizationLevel to_ort(GraphOptimization level) {
  switch (level) {
    case GraphOptimization::kDisabled: return ORT_DISABLE_ALL;
    case GraphOptimization::kBasic: return ORT_ENABLE_BASIC;
    case GraphOptimization::kExtended: return ORT_ENABLE_EXTENDED;
    case GraphOptimization::kAll: return ORT_ENABLE_ALL;
  }
  return ORT_ENABLE_ALL;
}

}  // namespace

Result<Ort::SessionOptions> make_session_options(const RuntimeOptions& options) {
  try {
    Ort::SessionOptions session;
    session.SetGraphOptimizationLevel(to_ort(options.graph_optimization));
    session.SetLogSeverityLevel(to_ort(options.log_level));
    const unsigned threads = options.threads == 0 ? usable_physical_cores() : options.threads;
    session.SetIntraOpNumThreads(static_cast<int>(std::clamp(threads, 1U, 256U)));
    session.SetInterOpNumThreads(1);
    session.SetExecutionMode(ORT_SEQUENTIAL);
    // A pattern is kept for every combination of input shapes, and each step has a new one.
    session.DisableMemPattern();
    // Freed memory is freed: an arena keeps the largest chunk that a prompt ever needed.
    session.DisableCpuMemArena();
    // Initializers that a kernel packs are freed at once; in an arena they would stay.
    session.AddConfigEntry("session.use_device_allocator_for_initializers", "1");
    session.AddConfigEntry("session.set_denormal_as_zero", "1");
    return session;
  } catch (const Ort::Exception& exception) {
    return std::unexpected(to_error("session options", exception));
  }
}

}  // namespace onnxlocal
