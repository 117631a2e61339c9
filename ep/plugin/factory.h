#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cpu/instruction_set.h"
#include "plugin/custom_operators.h"
#include "plugin/provider.h"
#include "threads/thread_pool.h"

namespace onnxlocal::ep {

/// What ONNX Runtime holds of us while the library is registered: makes a provider for each
/// session, and owns what they share. Any thread.
class Factory final : public OrtEpFactory {
 public:
  Factory();

 private:
  Ort::Status find_devices(std::span<const OrtHardwareDevice* const> devices,
                           std::span<OrtEpDevice*> found, std::size_t& count);
  Ort::Status create_provider(const OrtSessionOptions* session_options, const OrtLogger* logger,
                              OrtEp*& provider);
  /// The one pool; made by the first session, whose wish counts.
  ThreadPool& pool(unsigned threads, std::vector<std::string>& warnings);

  /// The environment's, read once, so that what is published is what is used.
  const InstructionSetChoice default_set_;
  CustomOperators operators_;
  std::mutex mutex_;
  std::unique_ptr<ThreadPool> pool_;
  Ort::KernelRegistry registry_{nullptr};
};

}  // namespace onnxlocal::ep
