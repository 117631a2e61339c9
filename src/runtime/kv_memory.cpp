#include "runtime/kv_memory.h"

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include "runtime/ort_error.h"

namespace onnxlocal {

namespace {

class HostKvMemory final : public KvMemory {
 public:
  HostKvMemory(LazyMemory memory, std::size_t buffer_bytes)
      : info_(Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault)),
        memory_(std::move(memory)),
        buffer_bytes_(buffer_bytes) {}

  const OrtMemoryInfo* info() const override { return info_; }
  std::byte* buffer(std::size_t index) const override {
    return memory_.begin() + index * buffer_bytes_;
  }

  Result<void> copy(const std::byte* from, std::byte* to, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
    return {};
  }
  Result<void> copy_out(const std::byte* from, std::span<std::byte> to) override {
    std::memcpy(to.data(), from, to.size());
    return {};
  }
  Result<void> copy_in(std::span<const std::byte> from, std::byte* to) override {
    std::memcpy(to, from.data(), from.size());
    return {};
  }
  void release(std::byte* from, std::size_t bytes) override { memory_.release(from, bytes); }

 private:
  Ort::MemoryInfo info_;
  LazyMemory memory_;
  std::size_t buffer_bytes_;
};

/// A graph that gives back the bytes it gets.
std::string identity_model() {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.set_name("copy");
  const auto describe = [](onnx::ValueInfoProto& value, const char* name) {
    value.set_name(name);
    auto& tensor = *value.mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(onnx::TensorProto::UINT8);
    tensor.mutable_shape()->add_dim()->set_dim_param("bytes");
  };
  describe(*graph.add_input(), "from");
  describe(*graph.add_output(), "to");
  onnx::NodeProto& node = *graph.add_node();
  node.set_op_type("Identity");
  node.add_input("from");
  node.add_output("to");
  return model.SerializeAsString();
}

class DeviceKvMemory final : public KvMemory {
 public:
  DeviceKvMemory(const Ort::Session& session, const OrtMemoryInfo* info, Ort::Session copier)
      : host_info_(Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault)),
        allocator_(session, info),
        copier_(std::move(copier)) {}

  void allocate(std::size_t count, std::size_t buffer_bytes) {
    for (std::size_t i = 0; i < count; ++i) {
      buffers_.push_back(allocator_.GetAllocation(buffer_bytes));
      addresses_.push_back(static_cast<std::byte*>(buffers_.back().get()));
    }
  }

  const OrtMemoryInfo* info() const override { return allocator_.GetInfo(); }
  std::byte* buffer(std::size_t index) const override { return addresses_[index]; }

  Result<void> copy(const std::byte* from, std::byte* to, std::size_t bytes) override {
    return run(info(), from, info(), to, bytes);
  }
  Result<void> copy_out(const std::byte* from, std::span<std::byte> to) override {
    return run(info(), from, host_info_, to.data(), to.size());
  }
  Result<void> copy_in(std::span<const std::byte> from, std::byte* to) override {
    return run(host_info_, from.data(), info(), to, from.size());
  }
  void release(std::byte* /*from*/, std::size_t /*bytes*/) override {}

 private:
  Result<void> run(const OrtMemoryInfo* from_info, const std::byte* from,
                   const OrtMemoryInfo* to_info, std::byte* to, std::size_t bytes) {
    try {
      const auto count = static_cast<std::int64_t>(bytes);
      const auto tensor = [&](const OrtMemoryInfo* info, std::byte* data) {
        return Ort::Value::CreateTensor(info, data, bytes, &count, 1,
                                        ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
      };
      Ort::IoBinding binding(copier_);
      binding.BindInput("from", tensor(from_info, const_cast<std::byte*>(from)));
      binding.BindOutput("to", tensor(to_info, to));
      copier_.Run(Ort::RunOptions{nullptr}, binding);
      binding.SynchronizeOutputs();
      return {};
    } catch (const Ort::Exception& exception) {
      return std::unexpected(to_error("copying keys and values on the device", exception));
    }
  }

  Ort::MemoryInfo host_info_;
  Ort::Allocator allocator_;
  Ort::Session copier_;
  std::vector<Ort::MemoryAllocation> buffers_;
  std::vector<std::byte*> addresses_;
};

}  // namespace

Result<std::unique_ptr<KvMemory>> make_host_kv_memory(std::size_t count, std::size_t buffer_bytes) {
  const std::string hint = "lower the number of slots or the context";
  if (count == 0 || buffer_bytes == 0 ||
      buffer_bytes > std::numeric_limits<std::size_t>::max() / 2 / count) {
    return std::unexpected(unavailable("keys and values do not fit the address space", hint));
  }
  auto memory = LazyMemory::reserve(count * buffer_bytes);
  if (!memory) {
    return std::unexpected(unavailable(memory.error().message + " of keys and values", hint));
  }
  return std::make_unique<HostKvMemory>(*std::move(memory), buffer_bytes);
}

Result<std::unique_ptr<KvMemory>> make_device_kv_memory(
    Ort::Env& environment, const Ort::Session& session, const OrtMemoryInfo* info,
    const ProviderOptions& provider_options, std::size_t count, std::size_t buffer_bytes) {
  TRY(Ort::SessionOptions options, provider_options(environment));
  try {
    // Optimized, an Identity between input and output would go away, and the copy with it.
    options.SetGraphOptimizationLevel(ORT_DISABLE_ALL);
    const std::string model = identity_model();
    Ort::Session copier(environment, model.data(), model.size(), options);
    auto memory = std::make_unique<DeviceKvMemory>(session, info, std::move(copier));
    memory->allocate(count, buffer_bytes);
    return memory;
  } catch (const Ort::Exception& exception) {
    Error error = to_error(fmt::format("no room on the device for {} MiB of keys and values",
                                       count * buffer_bytes >> 20),
                           exception);
    return std::unexpected(
        unavailable(std::move(error.message), "lower the number of slots or the context"));
  }
}

}  // namespace onnxlocal
