// A stand-in for the provider in ep/: it claims nothing and brings onnxlocal.
// PagedGroupQueryAttention as a plain operator on the stock CPU provider, written as simply as can
// be (double precision, rows of bf16 in a page), so that the paged graph and its decoder are tested
// where ep/ is not built.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>

namespace {

constexpr std::int64_t kPageTokens = 32;

struct Shape {
  std::int64_t heads, kv_heads, head_dim, layer, layers, window;
  bool has_rotary;
  double scale;
};

std::uint16_t to_bf16(double value) {
  const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
  return static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}
double from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// One run of one layer.
class Run {
 public:
  Run(const Shape& shape, Ort::KernelContext& context)
      : shape_(shape),
        query_(context.GetInput(0)),
        key_(context.GetInput(1)),
        value_(context.GetInput(2)),
        cos_(context.GetInput(7)),
        sin_(context.GetInput(8)),
        past_(context.GetInput(5).GetTensorData<std::int32_t>()),
        starts_(context.GetInput(4).GetTensorData<std::int32_t>()) {
    const auto table = context.GetInput(6);
    const auto table_shape = table.GetTensorTypeAndShapeInfo().GetShape();
    table_ = table.GetTensorData<std::int32_t>();
    sequences_ = table_shape[0];
    sequence_pages_ = table_shape[1];
    const auto pages = context.GetInput(3);
    const auto pages_shape = pages.GetTensorTypeAndShapeInfo().GetShape();
    page_bytes_ = pages_shape[1];
    pages_ = context.GetOutput(1, pages_shape).GetTensorMutableData<std::uint8_t>();
    if (pages_ != pages.GetTensorData<std::uint8_t>()) {
      std::memcpy(pages_, pages.GetTensorData<std::uint8_t>(),
                  static_cast<std::size_t>(pages_shape[0] * pages_shape[1]));
    }
    auto out_shape = query_.GetTensorTypeAndShapeInfo().GetShape();
    out_shape[2] = shape.heads * shape.head_dim;
    out_ = context.GetOutput(0, out_shape).GetTensorMutableData<float>();
  }

  void run() {
    for (std::int64_t s = 0; s < sequences_; ++s) {
      for (std::int64_t row = starts_[s]; row < starts_[s + 1]; ++row) {
        const std::int64_t position = past_[s] + row - starts_[s];
        append(s, row, position);
        for (std::int64_t head = 0; head < shape_.heads; ++head) attend(s, row, position, head);
      }
    }
  }

 private:
  /// Head `head` of a row, where q, k and v lie together or apart; rotated.
  std::vector<double> vector_of(std::int64_t part, std::int64_t row, std::int64_t head,
                                std::int64_t position) const {
    const bool is_packed = !key_;
    const std::int64_t before = part == 0   ? 0
                                : part == 1 ? shape_.heads
                                            : shape_.heads + shape_.kv_heads;
    const std::int64_t own_heads = part == 0 ? shape_.heads : shape_.kv_heads;
    const auto& tensor = is_packed || part == 0 ? query_ : part == 1 ? key_ : value_;
    const std::int64_t width = is_packed ? shape_.heads + 2 * shape_.kv_heads : own_heads;
    const float* const from = tensor.GetTensorData<float>() +
                              (row * width + (is_packed ? before : 0) + head) * shape_.head_dim;
    std::vector<double> x(from, from + shape_.head_dim);
    if (part == 2 || !shape_.has_rotary) return x;
    const std::int64_t half = cos_.GetTensorTypeAndShapeInfo().GetShape()[1];
    for (std::int64_t i = 0; i < half; ++i) {
      const double c = cos_.GetTensorData<float>()[position * half + i];
      const double n = sin_.GetTensorData<float>()[position * half + i];
      const auto a = static_cast<std::size_t>(i);
      const auto b = static_cast<std::size_t>(i + half);
      const double low = x[a];
      x[a] = low * c - x[b] * n;
      x[b] = x[b] * c + low * n;
    }
    return x;
  }

  /// Keys, then values, of a token and head: [head][key, value][token][head_dim] bf16.
  std::uint16_t* cached(std::int64_t s, std::int64_t position, std::int64_t head,
                        bool is_value) const {
    const std::int64_t page = table_[s * sequence_pages_ + position / kPageTokens];
    const std::int64_t layer = page_bytes_ / shape_.layers * shape_.layer;
    const std::int64_t vector =
        (2 * head + (is_value ? 1 : 0)) * kPageTokens + position % kPageTokens;
    return reinterpret_cast<std::uint16_t*>(pages_ + page * page_bytes_ + layer) +
           vector * shape_.head_dim;
  }

  void append(std::int64_t s, std::int64_t row, std::int64_t position) const {
    for (std::int64_t head = 0; head < shape_.kv_heads; ++head) {
      const auto key = vector_of(1, row, head, position);
      const auto value = vector_of(2, row, head, position);
      for (std::int64_t i = 0; i < shape_.head_dim; ++i) {
        cached(s, position, head, false)[i] = to_bf16(key[static_cast<std::size_t>(i)]);
        cached(s, position, head, true)[i] = to_bf16(value[static_cast<std::size_t>(i)]);
      }
    }
  }

  void attend(std::int64_t s, std::int64_t row, std::int64_t position, std::int64_t head) const {
    const std::int64_t kv_head = head / (shape_.heads / shape_.kv_heads);
    const auto q = vector_of(0, row, head, position);
    const std::int64_t first =
        shape_.window > 0 ? std::max<std::int64_t>(0, position + 1 - shape_.window) : 0;
    std::vector<double> sum(static_cast<std::size_t>(shape_.head_dim), 0);
    double total = 0;
    for (std::int64_t past = first; past <= position; ++past) {
      double score = 0;
      for (std::int64_t i = 0; i < shape_.head_dim; ++i) {
        score += q[static_cast<std::size_t>(i)] * from_bf16(cached(s, past, kv_head, false)[i]);
      }
      const double weight = std::exp(score * shape_.scale);
      total += weight;
      for (std::int64_t i = 0; i < shape_.head_dim; ++i) {
        sum[static_cast<std::size_t>(i)] += weight * from_bf16(cached(s, past, kv_head, true)[i]);
      }
    }
    for (std::int64_t i = 0; i < shape_.head_dim; ++i) {
      out_[(row * shape_.heads + head) * shape_.head_dim + i] =
          static_cast<float>(sum[static_cast<std::size_t>(i)] / total);
    }
  }

  const Shape& shape_;
  Ort::ConstValue query_, key_, value_, cos_, sin_;
  const std::int32_t* past_;
  const std::int32_t* starts_;
  const std::int32_t* table_ = nullptr;
  std::int64_t sequences_ = 0;
  std::int64_t sequence_pages_ = 0;
  std::int64_t page_bytes_ = 0;
  std::uint8_t* pages_ = nullptr;
  float* out_ = nullptr;
};

class Kernel {
 public:
  explicit Kernel(const OrtKernelInfo* info) {
    const Ort::ConstKernelInfo kernel(info);
    shape_.heads = kernel.GetAttribute<std::int64_t>("num_heads");
    shape_.kv_heads = kernel.GetAttribute<std::int64_t>("kv_num_heads");
    shape_.head_dim = kernel.GetAttribute<std::int64_t>("head_dim");
    shape_.layer = kernel.GetAttribute<std::int64_t>("layer");
    shape_.layers = kernel.GetAttribute<std::int64_t>("layers");
    shape_.has_rotary = kernel.GetAttribute<std::int64_t>("do_rotary") != 0;
    shape_.window = -1;
    shape_.scale = 1 / std::sqrt(static_cast<double>(shape_.head_dim));
  }
  void Compute(OrtKernelContext* raw) const {
    Ort::KernelContext context(raw);
    Run(shape_, context).run();
  }

 private:
  Shape shape_{};
};

struct Operator : Ort::CustomOpBase<Operator, Kernel> {
  void* CreateKernel(const OrtApi& /*api*/, const OrtKernelInfo* info) const {
    return new Kernel(info);
  }
  const char* GetName() const { return "PagedGroupQueryAttention"; }
  std::size_t GetInputTypeCount() const { return 11; }
  ONNXTensorElementDataType GetInputType(std::size_t i) const {
    if (i == 3) return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    return i >= 4 && i <= 6 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32
                            : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  }
  OrtCustomOpInputOutputCharacteristic GetInputCharacteristic(std::size_t i) const {
    return i == 0 || (i >= 3 && i <= 6) ? INPUT_OUTPUT_REQUIRED : INPUT_OUTPUT_OPTIONAL;
  }
  std::size_t GetOutputTypeCount() const { return 2; }
  ONNXTensorElementDataType GetOutputType(std::size_t i) const {
    return i == 0 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT : ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
  }
};

struct Ep : OrtEp {
  Ep() : OrtEp{} {
    ort_version_supported = ORT_API_VERSION;
    GetName = [](const OrtEp*) noexcept { return "OnnxLocalExecutionProvider"; };
    GetCapability = [](OrtEp*, const OrtGraph*, OrtEpGraphSupportInfo*) noexcept -> OrtStatus* {
      return nullptr;
    };
    Compile = [](OrtEp*, const OrtGraph**, const OrtNode**, std::size_t, OrtNodeComputeInfo**,
                 OrtNode**) noexcept -> OrtStatus* { return nullptr; };
    ReleaseNodeComputeInfos = [](OrtEp*, OrtNodeComputeInfo**, std::size_t) noexcept {};
  }
};

struct Factory : OrtEpFactory {
  Factory() : OrtEpFactory{}, domain("onnxlocal") {
    domain.Add(&op);
    ort_version_supported = ORT_API_VERSION;
    GetName = [](const OrtEpFactory*) noexcept { return "OnnxLocalExecutionProvider"; };
    GetVendor = [](const OrtEpFactory*) noexcept { return "onnx-local"; };
    GetVersion = [](const OrtEpFactory*) noexcept { return "0.1.0"; };
    GetVendorId = [](const OrtEpFactory*) noexcept -> std::uint32_t { return 0; };
    GetSupportedDevices = [](OrtEpFactory* self, const OrtHardwareDevice* const* devices,
                             std::size_t count, OrtEpDevice** found, std::size_t found_max,
                             std::size_t* found_count) noexcept -> OrtStatus* {
      *found_count = 0;
      for (std::size_t i = 0; i < count && *found_count < found_max; ++i) {
        if (Ort::GetApi().HardwareDevice_Type(devices[i]) != OrtHardwareDeviceType_CPU) continue;
        if (OrtStatus* status = Ort::GetEpApi().CreateEpDevice(self, devices[i], nullptr, nullptr,
                                                               &found[*found_count])) {
          return status;
        }
        ++*found_count;
      }
      return nullptr;
    };
    CreateEp = [](OrtEpFactory*, const OrtHardwareDevice* const*, const OrtKeyValuePairs* const*,
                  std::size_t, const OrtSessionOptions*, const OrtLogger*,
                  OrtEp** ep) noexcept -> OrtStatus* {
      *ep = new Ep;
      return nullptr;
    };
    ReleaseEp = [](OrtEpFactory*, OrtEp* ep) noexcept { delete static_cast<Ep*>(ep); };
    CreateDataTransfer = [](OrtEpFactory*, OrtDataTransferImpl** out) noexcept -> OrtStatus* {
      *out = nullptr;
      return nullptr;
    };
    IsStreamAware = [](const OrtEpFactory*) noexcept { return false; };
    GetNumCustomOpDomains = [](OrtEpFactory*, std::size_t* count) noexcept -> OrtStatus* {
      *count = 1;
      return nullptr;
    };
    GetCustomOpDomains = [](OrtEpFactory* self, OrtCustomOpDomain** domains,
                            std::size_t) noexcept -> OrtStatus* {
      domains[0] = static_cast<Factory*>(self)->domain;
      return nullptr;
    };
  }
  Operator op;
  Ort::CustomOpDomain domain;
};

}  // namespace

extern "C" {

OrtStatus* CreateEpFactories(const char* /*name*/, const OrtApiBase* base,
                             const OrtLogger* /*logger*/, OrtEpFactory** factories,
                             std::size_t /*factories_max*/, std::size_t* count) {
  Ort::InitApi(base->GetApi(ORT_API_VERSION));
  factories[0] = new Factory;
  *count = 1;
  return nullptr;
}

OrtStatus* ReleaseEpFactory(OrtEpFactory* factory) {
  delete static_cast<Factory*>(factory);
  return nullptr;
}
}
