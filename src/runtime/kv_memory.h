#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include <onnxruntime_cxx_api.h>

#include "base/memory.h"
#include "base/result.h"

namespace onnxlocal {

/// The buffers that keys and values live in: `count` of equal size, in the memory that the
/// execution provider computes on. Addresses are of that memory: only this class follows them.
/// Engine thread only.
class KvMemory {
 public:
  virtual ~KvMemory() = default;

  virtual const OrtMemoryInfo* info() const = 0;
  virtual std::byte* buffer(std::size_t index) const = 0;

  /// Ranges do not overlap.
  virtual Result<void> copy(const std::byte* from, std::byte* to, std::size_t bytes) = 0;
  virtual Result<void> copy_out(const std::byte* from, std::span<std::byte> to) = 0;
  virtual Result<void> copy_in(std::span<const std::byte> from, std::byte* to) = 0;
  /// The range's content is no longer needed: its pages go back where that is possible.
  virtual void release(std::byte* from, std::size_t bytes) = 0;
};

/// A buffer's size and every part that is released should be a multiple of this.
inline constexpr std::size_t kKvPageBytes = kPageBytes;

/// Host memory that takes no room before it is written to. Errors: unavailable (no address space).
Result<std::unique_ptr<KvMemory>> make_host_kv_memory(std::size_t count, std::size_t buffer_bytes);

/// Makes session options that name the execution provider in use.
using ProviderOptions = std::function<Result<Ort::SessionOptions>(Ort::Env&)>;

/// Memory of the device that `info` names, taken at once. Copies run as a graph of one Identity on
/// that provider: the one way to move bytes that every execution provider offers, whether ONNX
/// Runtime was built with it or it is a plugin. `environment` and `session` must outlive it.
/// Errors: unavailable (the device has no room).
Result<std::unique_ptr<KvMemory>> make_device_kv_memory(
    Ort::Env& environment, const Ort::Session& session, const OrtMemoryInfo* info,
    const ProviderOptions& provider_options, std::size_t count, std::size_t buffer_bytes);

}  // namespace onnxlocal
