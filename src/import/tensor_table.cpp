#include "import/tensor_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "import/dequantize.h"
#include "import/quantize.h"

namespace onnxlocal {
namespace {

/// Tensors that old converters wrote and no runtime reads: they hold what the metadata says.
bool is_redundant(std::string_view name) {
  return name.ends_with(".attn_rot_embd") || name.ends_with(".rotary_emb.inv_freq");
}

/// Without the ones at the end, which GGUF writes or leaves out.
std::vector<std::uint64_t> trimmed(std::vector<std::uint64_t> shape) {
  while (shape.size() > 1 && shape.back() == 1) shape.pop_back();
  return shape;
}

}  // namespace

Result<const GgufTensor*> TensorTable::take(const std::string& name,
                                            std::vector<std::uint64_t> shape) {
  const auto* tensor = file_.find_tensor(name);
  if (tensor == nullptr) {
    return std::unexpected(model_corrupt(
        fmt::format("tensor '{}' is missing (expected shape {})", name, fmt::join(shape, " x ")),
        "the file may be one part of several, or a wrong conversion"));
  }
  if (trimmed(tensor->shape) != trimmed(shape)) {
    return std::unexpected(
        model_corrupt(fmt::format("tensor '{}': expected shape {} (columns first), found {}", name,
                                  fmt::join(shape, " x "), fmt::join(tensor->shape, " x "))));
  }
  if (auto layout = weight_layout(tensor->type); !layout) {
    return std::unexpected(with_context(fmt::format("tensor '{}'", name), layout.error()));
  }
  taken_.insert(name);
  return tensor;
}

Result<const GgufTensor*> TensorTable::matrix(const std::string& name, std::uint64_t columns,
                                              std::uint64_t rows) {
  return take(name, {columns, rows});
}

Result<std::vector<float>> TensorTable::vector(const std::string& name, std::uint64_t size) {
  TRY(const auto* tensor, take(name, {size}));
  std::vector<float> values(size);
  TRY_VOID(dequantize(tensor->type, tensor->data, values));
  return values;
}

Result<std::optional<std::vector<float>>> TensorTable::find_vector(const std::string& name,
                                                                   std::uint64_t size) {
  if (!has(name)) return std::nullopt;
  TRY(auto values, vector(name, size));
  return std::optional(std::move(values));
}

Result<void> TensorTable::check_all_taken() const {
  const auto left = std::ranges::find_if(file_.tensors(), [this](const GgufTensor& tensor) {
    return !taken_.contains(tensor.name) && !is_redundant(tensor.name);
  });
  if (left == file_.tensors().end()) return {};
  return std::unexpected(unsupported(
      fmt::format("tensor '{}' has no place in this architecture: the model computes something "
                  "that we do not",
                  left->name)));
}

}  // namespace onnxlocal
