#include "engine/mask_workers.h"

#include <limits>
#include <utility>

namespace onnxlocal {

MaskWorkers::MaskWorkers(unsigned threads, std::function<void()> after_each)
    : after_each_(std::move(after_each)), jobs_(std::numeric_limits<std::size_t>::max()) {
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

MaskWorkers::~MaskWorkers() {
  is_stopping_ = true;
  jobs_.close();
  for (std::thread& thread : threads_) thread.join();
}

void MaskWorkers::run(MaskJob job) { static_cast<void>(jobs_.push(std::move(job))); }

void MaskWorkers::work() {
  while (auto job = jobs_.pop()) {
    if (is_stopping_) continue;
    (*job)();
    job.reset();  // What it held is gone before the engine hears of it.
    after_each_();
  }
}

}  // namespace onnxlocal
