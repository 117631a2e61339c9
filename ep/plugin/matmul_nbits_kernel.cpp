#include <mutex>
#include <optional>
#include <vector>

#include "matrix/matrix_product.h"
#include "plugin/foreign_threads.h"
#include "plugin/single_kernel.h"

namespace onnxlocal::ep {

namespace {

enum Input : std::size_t { kA, kB, kScales, kZeroPoints, kGroupIndex, kBias };

std::span<const std::byte> bytes_of(const OrtValue* value) {
  const void* data = nullptr;
  std::size_t bytes = 0;
  Ort::ThrowOnError(Ort::GetApi().GetTensorData(value, &data));
  Ort::ThrowOnError(Ort::GetApi().GetTensorSizeInBytes(value, &bytes));
  return {static_cast<const std::byte*>(data), bytes};
}

const OrtValue* constant_input(Ort::ConstKernelInfo info, std::size_t index) {
  if (index >= info.GetInputCount()) return nullptr;
  int is_constant = 0;
  const OrtValue* value = nullptr;
  Ort::ThrowOnError(
      Ort::GetApi().KernelInfoGetConstantInput_tensor(info, index, &is_constant, &value));
  return is_constant != 0 ? value : nullptr;
}

/// The matrix as the node's constants hold it. They live until the kernel has said of each that it
/// is packed.
MatrixSource read_source(Ort::ConstKernelInfo info) {
  MatrixSource source;
  source.rows = static_cast<std::uint32_t>(integer_attribute(info, "N", 0));
  source.columns = static_cast<std::uint32_t>(integer_attribute(info, "K", 0));
  source.bits = static_cast<std::uint8_t>(integer_attribute(info, "bits", 4));
  source.block = static_cast<std::uint32_t>(integer_attribute(info, "block_size", 32));
  const OrtValue* const quants = constant_input(info, kB);
  const OrtValue* const scales = constant_input(info, kScales);
  const OrtValue* const zeros = constant_input(info, kZeroPoints);
  if (quants != nullptr) source.quants = bytes_of(quants);
  if (scales != nullptr) source.scales = bytes_of(scales);
  if (zeros != nullptr) {
    const bool is_integer = view_tensor(zeros).type == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    (is_integer ? source.integer_zeros : source.float_zeros) = bytes_of(zeros);
  }
  return source;
}

/// A product with a quantized constant matrix. It is packed when its quants are offered for
/// packing, which is the first of its constants; the scales and zero points that come after have
/// been read by then.
class MatMulNBits final : public SingleKernel {
 public:
  MatMulNBits(Ort::ConstKernelInfo info, KernelResources& resources)
      : resources_(resources), source_(read_source(info)) {
    if (const auto problem = check_source(source_)) {
      Ort::ThrowOnError(fail("MatMulNBits " + info.GetNodeName() + ": " + *problem));
    }
    if (!resources_.prepacks) pack();
  }

  bool prepack(const OrtValue* /*tensor*/, int input) override {
    if (input == static_cast<int>(kB)) pack();
    return input >= static_cast<int>(kB) && input <= static_cast<int>(kZeroPoints) && is_packed();
  }

  Ort::Status compute(OrtKernelContext* context) override {
    if (!is_packed()) pack();
    const TensorView x = input_of(context, kA).value();
    const std::size_t columns = matrix_.format.columns;
    const std::size_t outputs = matrix_.format.rows;
    if (x.dims.empty() || x.dims.back() != static_cast<std::int64_t>(columns)) {
      return fail("MatMulNBits: the input is " + to_text(x.dims) + ", K is " +
                  std::to_string(columns));
    }
    std::vector<std::int64_t> dims(x.dims.begin(), x.dims.end());
    dims.back() = static_cast<std::int64_t>(outputs);
    float* const y = static_cast<float*>(output_of(context, 0, dims));
    const std::size_t rows = x.count() / columns;
    if (rows == 0) return ok();
    const std::optional<TensorView> bias = input_of(context, kBias);
    if (bias && bias->count() != outputs) {
      return fail("MatMulNBits: the bias is " + to_text(bias->dims) + ", N is " +
                  std::to_string(outputs));
    }

    const MatrixKernels& kernels = matrix_kernels(resources_.set);
    ForeignThreads threads(context, resources_.foreign_threads);
    auto scratch = resources_.scratch.take();
    const QuantizedRows quantized = quantized_rows_over(
        scratch->quantized.take(quantized_rows_bytes(rows, columns)), rows, columns);
    quantize_rows(kernels, threads, ConstRows(x.as<float>(), columns), quantized);
    multiply(kernels, threads, matrix_, quantized,
             {.out = {.data = y, .stride = outputs}, .bias = bias ? bias->as<float>() : nullptr});
    return ok();
  }

 private:
  bool is_packed() const { return !matrix_.packed.empty(); }

  void pack() {
    const std::scoped_lock lock(mutex_);
    if (is_packed()) return;
    const MatrixFormat format = choose_format(source_, *resources_.pool);
    const std::span<std::byte> packed = memory_.take(format.packed_bytes());
    pack_matrix(source_, format, packed, *resources_.pool);
    source_ = {};
    matrix_ = {.format = format, .packed = packed};
  }

  KernelResources& resources_;
  std::mutex mutex_;     ///< Around packing; what is packed is constant.
  MatrixSource source_;  ///< Empty once packed.
  AlignedMemory memory_;
  PackedMatrix matrix_;
};

/// Activations are rounded to 8 bits: a node that asks for more (1: float32, 2: float16, 3:
/// bfloat16) is left to others.
bool allows_eight_bits(const Node& node) {
  const auto level = node.integer("accuracy_level", 0);
  return level == 0 || level == 4;
}

bool has_elements(const Value* value, std::int64_t count) {
  const auto elements = element_count(value->dims);
  return elements && *elements == static_cast<std::size_t>(count);
}

bool can_run_matmul(const Graph& graph, const Node& node) {
  const NodePorts ports(graph, node);
  const auto n = node.integer("N", 0);
  const auto k = node.integer("K", 0);
  const auto bits = node.integer("bits", 4);
  const auto block = node.integer("block_size", 0);
  if (!ports.is(kA, ElementType::kFloat32) || !ports.is(kScales, ElementType::kFloat32) ||
      !ports.is(kB, ElementType::kUint8) || !ports.is_constant(kB) || !ports.is_constant(kScales) ||
      ports.has(kGroupIndex) || (ports.has(kBias) && !ports.is(kBias, ElementType::kFloat32)) ||
      !allows_eight_bits(node) || node.integer("weight_prepacked", 0) != 0) {
    return false;
  }
  constexpr std::int64_t kMost = 1 << 30;
  if (n <= 0 || k <= 0 || n > kMost || k > kMost || (bits != 4 && bits != 8) ||
      (block != 32 && block != 64 && block != 128 && block != 256)) {
    return false;
  }
  const auto blocks = (k + block - 1) / block;
  if (!has_elements(ports.input(kB), n * blocks * (block * bits / 8)) ||
      !has_elements(ports.input(kScales), n * blocks)) {
    return false;
  }
  if (!ports.has(kZeroPoints)) return true;
  if (!ports.is_constant(kZeroPoints)) return false;
  const Value* const zeros = ports.input(kZeroPoints);
  if (zeros->type == ElementType::kUint8) {
    return has_elements(zeros, n * ((blocks * bits + 7) / 8));
  }
  return zeros->type == ElementType::kFloat32 && has_elements(zeros, n * blocks);
}

}  // namespace

const KernelEntry& matmul_nbits_entry() {
  static constexpr KernelEntry kEntry{
      .op = "MatMulNBits",
      .domain = "com.microsoft",
      .constrain =
          [](Ort::KernelDefBuilder& builder) {
            const auto* const byte = tensor_type(ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
            builder.AddTypeConstraint("T1", float_type());
            builder.AddTypeConstraint("T2", byte);
            builder.AddTypeConstraint("T3", {byte, float_type()});
          },
      .can_run = can_run_matmul,
      .create = create_kernel<MatMulNBits>,
  };
  return kEntry;
}

}  // namespace onnxlocal::ep
