#include "model/onnx_file.h"

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <new>
#include <optional>
#include <string>

#include "base/file_system.h"
#include "model/limits.h"

namespace onnxlocal {
namespace {

constexpr auto kHint = "import or download the model again, with every file of its folder";

// Protobuf tells stderr of every malformed file; the caller gets an Error instead.
void silence_protobuf() {
  [[maybe_unused]] static const auto previous = google::protobuf::SetLogHandler(nullptr);
}

/// Bits of one element, by TensorProto.DataType's number: libonnx 1.12 does not name the later
/// ones.
std::optional<unsigned> element_bits(int data_type) {
  switch (data_type) {
    case 1:
    case 6:
    case 12: return 32;  // float, int32, uint32
    case 2:
    case 3:
    case 9: return 8;  // uint8, int8, bool
    case 4:
    case 5:
    case 10:
    case 16: return 16;  // uint16, int16, float16, bfloat16
    case 7:
    case 11:
    case 13:
    case 14: return 64;   // int64, double, uint64, complex64
    case 15: return 128;  // complex128
    case 17:
    case 18:
    case 19:
    case 20:
    case 24: return 8;  // the float8 types
    case 21:
    case 22:
    case 23: return 4;  // uint4, int4, float4
    case 25:
    case 26: return 2;  // uint2, int2
    default: return std::nullopt;
  }
}

Result<std::uint64_t> tensor_bytes(const onnx::TensorProto& tensor) {
  const auto bits = element_bits(tensor.data_type());
  if (!bits) {
    return std::unexpected(model_corrupt(fmt::format(
        "tensor '{}': data type {} cannot be stored outside", tensor.name(), tensor.data_type())));
  }
  constexpr std::uint64_t kElementsMax = std::numeric_limits<std::uint64_t>::max() / 256;
  std::uint64_t elements = 1;
  for (const auto dim : tensor.dims()) {
    if (dim < 0 || (dim > 0 && elements > kElementsMax / static_cast<std::uint64_t>(dim))) {
      return std::unexpected(model_corrupt(
          fmt::format("tensor '{}': impossible shape (a dimension of {})", tensor.name(), dim)));
    }
    elements *= static_cast<std::uint64_t>(dim);
  }
  return (elements * *bits + 7) / 8;
}

Result<std::uint64_t> parse_number(const std::string& text, std::string_view key,
                                   const onnx::TensorProto& tensor) {
  std::uint64_t number = 0;
  const auto* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end) {
    return std::unexpected(model_corrupt(fmt::format(
        "tensor '{}': external data {} is '{}', expected a number", tensor.name(), key, text)));
  }
  return number;
}

/// Calls `visit` for each tensor of the graph and of the graphs inside it; stops at an error.
template <class Visit>
Result<void> visit_graph(const onnx::GraphProto& graph, Visit& visit);

template <class Visit>
Result<void> visit_nodes(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes,
                         Visit& visit) {
  for (const auto& node : nodes) {
    for (const auto& attribute : node.attribute()) {
      if (attribute.has_t()) TRY_VOID(visit(attribute.t()));
      for (const auto& tensor : attribute.tensors()) TRY_VOID(visit(tensor));
      if (attribute.has_g()) TRY_VOID(visit_graph(attribute.g(), visit));
      for (const auto& graph : attribute.graphs()) TRY_VOID(visit_graph(graph, visit));
    }
  }
  return {};
}

template <class Visit>
Result<void> visit_graph(const onnx::GraphProto& graph, Visit& visit) {
  for (const auto& tensor : graph.initializer()) TRY_VOID(visit(tensor));
  for (const auto& sparse : graph.sparse_initializer()) {
    TRY_VOID(visit(sparse.values()));
    TRY_VOID(visit(sparse.indices()));
  }
  return visit_nodes(graph.node(), visit);
}

bool is_external(const onnx::TensorProto& tensor) {
  return tensor.data_location() == onnx::TensorProto::EXTERNAL;
}

/// Sizes of the files looked at so far: models name one file thousands of times.
class FileSizes {
 public:
  std::optional<std::uint64_t> find(const std::filesystem::path& file) {
    const auto known = sizes_.find(file);
    if (known != sizes_.end()) return known->second;
    std::error_code failed;
    const auto size = std::filesystem::file_size(file, failed);
    const auto found = failed ? std::nullopt : std::optional<std::uint64_t>(size);
    sizes_.emplace(file, found);
    return found;
  }

 private:
  std::map<std::filesystem::path, std::optional<std::uint64_t>> sizes_;
};

}  // namespace

Result<void> read_onnx_file(const std::filesystem::path& file, onnx::ModelProto& model) {
  silence_protobuf();
  TRY(const auto mapped, MappedFile::open(file));
  const auto bytes = mapped.bytes();
  if (bytes.empty()) {
    return std::unexpected(model_corrupt(
        fmt::format("{}: expected an ONNX model, found an empty file", file.string()), kHint));
  }
  if (bytes.size() > kOnnxFileBytesMax) {
    return std::unexpected(too_large(fmt::format("{}: {} bytes; an .onnx file holds at most {}",
                                                 file.string(), bytes.size(), kOnnxFileBytesMax),
                                     "keep the weights in external data files"));
  }
  try {
    const bool parsed = model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
    if (parsed && model.has_graph() && model.ir_version() > 0) return {};
    return std::unexpected(model_corrupt(
        fmt::format("{}: {} bytes that are not a whole ONNX model (truncated, or another kind of "
                    "file)",
                    file.string(), bytes.size()),
        kHint));
  } catch (const std::bad_alloc&) {
    return std::unexpected(too_large(file.string() + ": no memory to read it"));
  }
}

Result<void> write_onnx_file(const std::filesystem::path& file, const onnx::ModelProto& model) {
  silence_protobuf();
  std::string bytes;
  if (model.ByteSizeLong() > kOnnxFileBytesMax || !model.SerializeToString(&bytes)) {
    return std::unexpected(
        too_large(fmt::format("{}: the graph has {} bytes; an .onnx file holds at most {}",
                              file.string(), model.ByteSizeLong(), kOnnxFileBytesMax)));
  }
  return write_text_file(file, bytes);
}

Result<ExternalData> external_data(const onnx::TensorProto& tensor,
                                   const std::filesystem::path& folder) {
  ExternalData data;
  TRY(data.size_bytes, tensor_bytes(tensor));
  std::string location;
  for (const auto& entry : tensor.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") {
      TRY(data.offset_bytes, parse_number(entry.value(), "offset", tensor));
    }
    if (entry.key() == "length") {
      TRY(const auto length, parse_number(entry.value(), "length", tensor));
      if (length != data.size_bytes) {
        return std::unexpected(model_corrupt(fmt::format(
            "tensor '{}': its shape and type need {} bytes, its external data entry says {}",
            tensor.name(), data.size_bytes, length)));
      }
    }
  }
  const std::filesystem::path relative(location);
  const bool leaves = std::ranges::find(relative, "..") != relative.end();
  if (location.empty() || relative.is_absolute() || leaves ||
      location.find('\0') != std::string::npos) {
    return std::unexpected(model_corrupt(fmt::format(
        "tensor '{}': expected external data in a file inside the model's folder, found '{}'",
        tensor.name(), location)));
  }
  data.file = folder / relative;
  return data;
}

Result<void> check_external_data(const onnx::ModelProto& model,
                                 const std::filesystem::path& folder) {
  FileSizes sizes;
  auto check = [&](const onnx::TensorProto& tensor) -> Result<void> {
    if (!is_external(tensor)) return {};
    TRY(const auto data, external_data(tensor, folder));
    const auto size = sizes.find(data.file);
    if (!size) {
      return std::unexpected(
          model_corrupt(fmt::format("{}: missing; tensor '{}' has its {} bytes there",
                                    data.file.string(), tensor.name(), data.size_bytes),
                        kHint));
    }
    if (data.offset_bytes > *size || data.size_bytes > *size - data.offset_bytes) {
      return std::unexpected(model_corrupt(
          fmt::format("{}: truncated: expected at least {} bytes (tensor '{}' has {} at offset "
                      "{}), found {}",
                      data.file.string(), data.offset_bytes + data.size_bytes, tensor.name(),
                      data.size_bytes, data.offset_bytes, *size),
          kHint));
    }
    return {};
  };
  TRY_VOID(visit_graph(model.graph(), check));
  for (const auto& function : model.functions()) TRY_VOID(visit_nodes(function.node(), check));
  return {};
}

}  // namespace onnxlocal
