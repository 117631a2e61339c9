#include <algorithm>
#include <vector>

#include "plugin/foreign_threads.h"
#include "plugin/single_kernel.h"
#include "rows/rows.h"

namespace onnxlocal::ep {

namespace {

/// Floats that one task norms: smaller tasks cost more to hand out than to do.
constexpr std::size_t kTaskFloats = 16'384;

/// Calls body(row) for all rows, in tasks of several rows.
template <class Body>
void for_rows(Parallel& parallel, std::size_t rows, std::size_t width, const Body& body) {
  const std::size_t rows_of_task = std::max<std::size_t>(1, kTaskFloats / std::max(width, 1UL));
  const std::size_t tasks = (rows + rows_of_task - 1) / rows_of_task;
  parallel.run(tasks, [&](std::size_t task) {
    const std::size_t last = std::min(rows, (task + 1) * rows_of_task);
    for (std::size_t row = task * rows_of_task; row < last; ++row) body(row);
  });
}

/// SimplifiedLayerNormalization over the last axis: a root-mean-square norm.
class SimplifiedLayerNorm final : public SingleKernel {
 public:
  SimplifiedLayerNorm(Ort::ConstKernelInfo info, KernelResources& resources)
      : resources_(resources), epsilon_(number_attribute(info, "epsilon", 1e-5F)) {}

  Ort::Status compute(OrtKernelContext* context) override {
    const TensorView x = input_of(context, 0).value();
    const TensorView weight = input_of(context, 1).value();
    float* const out = static_cast<float*>(output_of(context, 0, x.dims));
    const std::size_t width = x.dims.empty() ? 1 : static_cast<std::size_t>(x.dims.back());
    if (weight.count() != width) {
      return fail("SimplifiedLayerNormalization: the scale is " + to_text(weight.dims) +
                  ", the input " + to_text(x.dims));
    }
    if (x.count() == 0) return ok();
    const RowKernels& kernels = row_kernels(resources_.set);
    ForeignThreads threads(context, resources_.foreign_threads);
    for_rows(threads, x.count() / width, width, [&](std::size_t row) {
      kernels.rms_norm(x.as<float>() + row * width, weight.as<float>(), epsilon_, width,
                       out + row * width);
    });
    return ok();
  }

 private:
  KernelResources& resources_;
  float epsilon_;
};

/// SkipSimplifiedLayerNormalization: input + skip (+ bias), and its norm. `skip` may be shorter
/// than the input and is then repeated (a batch that shares it).
class SkipSimplifiedLayerNorm final : public SingleKernel {
 public:
  SkipSimplifiedLayerNorm(Ort::ConstKernelInfo info, KernelResources& resources)
      : resources_(resources), epsilon_(number_attribute(info, "epsilon", 1e-12F)) {}

  Ort::Status compute(OrtKernelContext* context) override {
    const TensorView x = input_of(context, 0).value();
    const TensorView skip = input_of(context, 1).value();
    const TensorView weight = input_of(context, 2).value();
    const std::optional<TensorView> bias = input_of(context, 3);
    const std::size_t width = x.dims.empty() ? 1 : static_cast<std::size_t>(x.dims.back());
    float* const out = static_cast<float*>(output_of(context, 0, x.dims));
    float* const sum = static_cast<float*>(output_of(context, 3, x.dims));
    if (x.count() == 0) return ok();
    if (weight.count() != width || (bias && bias->count() != width) || skip.count() == 0 ||
        skip.count() % width != 0 || x.count() % skip.count() != 0) {
      return fail("SkipSimplifiedLayerNormalization: the input is " + to_text(x.dims) +
                  ", the skip " + to_text(skip.dims) + ", gamma " + to_text(weight.dims));
    }
    const std::size_t skip_rows = skip.count() / width;
    const RowKernels& kernels = row_kernels(resources_.set);
    ForeignThreads threads(context, resources_.foreign_threads);
    auto scratch = resources_.scratch.take();
    const std::size_t rows = x.count() / width;
    float* const sums = sum != nullptr ? sum : scratch->output.take_floats(x.count()).data();
    for_rows(threads, rows, width, [&](std::size_t row) {
      const float* const a = x.as<float>() + row * width;
      const float* const b = skip.as<float>() + row % skip_rows * width;
      float* const total = sums + row * width;
      if (!bias) {
        kernels.add_rms_norm(a, b, weight.as<float>(), epsilon_, width, total, out + row * width);
        return;
      }
      kernels.add(a, b, width, total);
      kernels.add_rms_norm(total, bias->as<float>(), weight.as<float>(), epsilon_, width, total,
                           out + row * width);
    });
    return ok();
  }

 private:
  KernelResources& resources_;
  float epsilon_;
};

bool can_run_norm(const Graph& graph, const Node& node) {
  const NodePorts ports(graph, node);
  const auto axis = node.integer("axis", -1);
  if (!ports.is(0, ElementType::kFloat32) || !ports.is(1, ElementType::kFloat32)) return false;
  const auto& dims = ports.input(0)->dims;
  return (axis == -1 || (!dims.empty() && axis + 1 == std::ssize(dims))) && !ports.has_output(1);
}

bool can_run_skip_norm(const Graph& graph, const Node& node) {
  const NodePorts ports(graph, node);
  return ports.is(0, ElementType::kFloat32) && !ports.has_output(1) && !ports.has_output(2);
}

}  // namespace

const KernelEntry& simplified_layer_norm_entry() {
  static constexpr KernelEntry kEntry{
      .op = "SimplifiedLayerNormalization",
      .domain = "",
      .constrain =
          [](Ort::KernelDefBuilder& builder) {
            builder.AddTypeConstraint("T", float_type());
            builder.AddTypeConstraint("V", float_type());
          },
      .can_run = can_run_norm,
      .create = create_kernel<SimplifiedLayerNorm>,
  };
  return kEntry;
}

const KernelEntry& skip_simplified_layer_norm_entry() {
  static constexpr KernelEntry kEntry{
      .op = "SkipSimplifiedLayerNormalization",
      .domain = "com.microsoft",
      .constrain =
          [](Ort::KernelDefBuilder& builder) { builder.AddTypeConstraint("T", float_type()); },
      .can_run = can_run_skip_norm,
      .create = create_kernel<SkipSimplifiedLayerNorm>,
  };
  return kEntry;
}

}  // namespace onnxlocal::ep
