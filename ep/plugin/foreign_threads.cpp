#include "plugin/foreign_threads.h"

namespace onnxlocal::ep {

void ForeignThreads::run(std::size_t tasks, TaskRef body) {
  if (threads_ <= 1 || tasks <= 1) {
    for (std::size_t task = 0; task < tasks; ++task) body(task);
    return;
  }
  Ort::ThrowOnError(Ort::GetApi().KernelContext_ParallelFor(
      context_, [](void* data, std::size_t task) { (*static_cast<const TaskRef*>(data))(task); },
      tasks, 0, &body));
}

}  // namespace onnxlocal::ep
