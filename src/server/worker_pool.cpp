#include "server/worker_pool.h"

namespace onnxlocal {

WorkerPool::WorkerPool(unsigned threads, std::size_t queue_max) : jobs_(queue_max) {
  for (unsigned i = 0; i < threads; ++i) {
    threads_.emplace_back([this] {
      while (auto job = jobs_.pop()) (*job)();
    });
  }
}

WorkerPool::~WorkerPool() { jobs_.close(); }

}  // namespace onnxlocal
