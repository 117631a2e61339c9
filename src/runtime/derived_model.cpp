#include "runtime/derived_model.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include "base/environment.h"
#include "base/file_system.h"
#include "base/hash.h"
#include "model/onnx_file.h"
#include "runtime/eight_bit.h"
#include "runtime/slow_matrix.h"

namespace onnxlocal {

namespace {

namespace fs = std::filesystem;

/// Kernels read with vector loads.
constexpr std::size_t kAlignmentBytes = 64;

/// The tensors' bytes, wherever they are.
class TensorReader {
 public:
  explicit TensorReader(fs::path folder) : folder_(std::move(folder)) {}

  Result<std::span<const std::byte>> bytes_of(const onnx::TensorProto& tensor) {
    if (!is_external(tensor)) return std::as_bytes(std::span(tensor.raw_data()));
    TRY(const ExternalData data, external_data(tensor, folder_));
    auto file = files_.find(data.file);
    if (file == files_.end()) {
      TRY(MappedFile mapped, MappedFile::open(data.file));
      file = files_.emplace(data.file, std::move(mapped)).first;
    }
    const auto bytes = file->second.bytes();
    if (data.offset_bytes > bytes.size() || data.size_bytes > bytes.size() - data.offset_bytes) {
      return std::unexpected(model_corrupt(
          fmt::format("{} has {} bytes, tensor {} ends at {}", data.file.filename().string(),
                      bytes.size(), tensor.name(), data.offset_bytes + data.size_bytes)));
    }
    return bytes.subspan(data.offset_bytes, data.size_bytes);
  }

 private:
  fs::path folder_;
  std::map<fs::path, MappedFile> files_;
};

/// The derived data file while it is written.
class DataWriter {
 public:
  DataWriter(FileWriter file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}

  /// Writes the bytes and makes `tensor` point to them.
  Result<void> place(onnx::TensorProto& tensor, std::span<const std::byte> bytes) {
    static constexpr std::array<std::byte, kAlignmentBytes> kPadding{};
    const std::size_t over = size_ % kAlignmentBytes;
    if (over != 0) TRY_VOID(append(std::span(kPadding).first(kAlignmentBytes - over)));
    point(tensor, size_, bytes.size());
    return append(bytes);
  }
  void point(onnx::TensorProto& tensor, std::uint64_t offset, std::uint64_t size) const {
    tensor.clear_raw_data();
    tensor.clear_external_data();
    tensor.set_data_location(onnx::TensorProto::EXTERNAL);
    const auto add = [&tensor](const char* key, std::string value) {
      onnx::StringStringEntryProto& entry = *tensor.add_external_data();
      entry.set_key(key);
      entry.set_value(std::move(value));
    };
    add("location", name_);
    add("offset", std::to_string(offset));
    add("length", std::to_string(size));
  }
  std::uint64_t size_bytes() const { return size_; }

  Result<ManifestFile> commit() {
    TRY_VOID(file_.commit());
    return ManifestFile{.name = name_, .size_bytes = size_, .sha256 = hash_.finish_hex()};
  }

 private:
  Result<void> append(std::span<const std::byte> bytes) {
    TRY_VOID(file_.write(bytes));
    hash_.update(bytes);
    size_ += bytes.size();
    return {};
  }

  FileWriter file_;
  std::string name_;
  Sha256 hash_;
  std::uint64_t size_ = 0;
};

template <class T>
std::span<const T> typed(std::span<const std::byte> bytes, std::vector<T>& aligned) {
  // External data may lie at any offset.
  aligned.resize(bytes.size() / sizeof(T));
  std::memcpy(aligned.data(), bytes.data(), aligned.size() * sizeof(T));
  return aligned;
}

/// One matrix in 8 bits.
struct WideMatrix {
  std::vector<std::uint8_t> values;
  std::vector<float> scales;
  std::vector<std::uint8_t> zero_points;
};

Result<WideMatrix> widen(const SlowMatrix& matrix, TensorReader& reader) {
  TRY(const auto packed_bytes, reader.bytes_of(*matrix.weights));
  TRY(const auto scale_bytes, reader.bytes_of(*matrix.scales));
  TRY(const auto zero_bytes, reader.bytes_of(*matrix.zero_points));
  const auto blocks = static_cast<std::size_t>(matrix.rows * matrix.blocks);
  const auto block_size = static_cast<std::size_t>(matrix.block_size);
  if (packed_bytes.size() != blocks * block_size / 2 || scale_bytes.size() != blocks * 4 ||
      zero_bytes.size() != blocks * 4) {
    return std::unexpected(model_corrupt(
        fmt::format("tensor {} does not have its shape's size", matrix.weights->name())));
  }
  std::vector<float> scale_copy;
  std::vector<float> zero_copy;
  const std::span packed(reinterpret_cast<const std::uint8_t*>(packed_bytes.data()),
                         packed_bytes.size());
  const std::span<const float> scales = typed(scale_bytes, scale_copy);
  const std::span<const float> zeros = typed(zero_bytes, zero_copy);
  WideMatrix wide;
  wide.values.resize(blocks * block_size);
  wide.scales.resize(blocks);
  wide.zero_points.resize(blocks);
  const std::size_t workers = std::min<std::size_t>(usable_physical_cores(), 8);
  const std::size_t share = (blocks + workers - 1) / workers;
  std::vector<std::jthread> threads;
  for (std::size_t first = 0; first < blocks; first += share) {
    const std::size_t count = std::min(share, blocks - first);
    threads.emplace_back([&, first, count] {
      widen_blocks({packed.subspan(first * block_size / 2, count * block_size / 2),
                    scales.subspan(first, count), zeros.subspan(first, count)},
                   block_size,
                   {std::span(wide.values).subspan(first * block_size, count * block_size),
                    std::span(wide.scales).subspan(first, count),
                    std::span(wide.zero_points).subspan(first, count)});
    });
  }
  threads.clear();
  return wide;
}

/// The three new tensors of a matrix, under names of their own.
struct WideTensors {
  onnx::TensorProto* values;
  onnx::TensorProto* scales;
  onnx::TensorProto* zero_points;
};

WideTensors add_tensors(onnx::GraphProto& graph, const SlowMatrix& matrix) {
  const std::string base = matrix.weights->name();
  const auto add = [&](const char* suffix, onnx::TensorProto::DataType type) {
    onnx::TensorProto* const tensor = graph.add_initializer();
    tensor->set_name(base + suffix);
    tensor->set_data_type(type);
    return tensor;
  };
  WideTensors tensors{add(".q8", onnx::TensorProto::UINT8),
                      add(".q8_scale", onnx::TensorProto::FLOAT),
                      add(".q8_zero", onnx::TensorProto::UINT8)};
  for (const std::int64_t dim : {matrix.rows, matrix.blocks, matrix.block_size}) {
    tensors.values->add_dims(dim);
  }
  for (const std::int64_t dim : matrix.scales->dims()) tensors.scales->add_dims(dim);
  for (const std::int64_t dim : matrix.scales->dims()) tensors.zero_points->add_dims(dim);
  return tensors;
}

void use_tensors(onnx::NodeProto& node, const WideTensors& tensors) {
  node.set_input(kWeightsInput, tensors.values->name());
  node.set_input(kScalesInput, tensors.scales->name());
  node.set_input(kZeroPointsInput, tensors.zero_points->name());
  for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
    if (attribute.name() == "bits") {
      attribute.set_i(8);
      return;
    }
  }
  onnx::AttributeProto& bits = *node.add_attribute();
  bits.set_name("bits");
  bits.set_type(onnx::AttributeProto::INT);
  bits.set_i(8);
}

template <class T>
std::span<const std::byte> as_bytes(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

/// Drops the initializers that no node reads any more.
void drop_unused(onnx::GraphProto& graph) {
  std::set<std::string> used;
  for (const onnx::NodeProto& node : graph.node()) {
    used.insert(node.input().begin(), node.input().end());
  }
  for (const onnx::ValueInfoProto& output : graph.output()) used.insert(output.name());
  auto& tensors = *graph.mutable_initializer();
  for (int i = tensors.size() - 1; i >= 0; --i) {
    if (!used.contains(tensors[i].name())) tensors.DeleteSubrange(i, 1);
  }
}

}  // namespace

bool has_slow_matrices(const onnx::ModelProto& model) {
  // Only the nodes and the tensors' descriptions are looked at: the cast saves a copy.
  auto& graph = const_cast<onnx::GraphProto&>(model.graph());
  return !has_inner_graphs(graph) && !slow_matrices(graph).empty();
}

Result<std::vector<fs::path>> external_files(const onnx::ModelProto& model,
                                             const fs::path& folder) {
  std::set<fs::path> files;
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    if (!is_external(tensor)) continue;
    TRY(const ExternalData data, external_data(tensor, folder));
    files.insert(data.file);
  }
  return std::vector<fs::path>(files.begin(), files.end());
}

std::uint64_t eight_bit_bytes(const onnx::ModelProto& model) {
  std::uint64_t bytes = std::uint64_t{1} << 20;
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    const std::uint64_t width = tensor.data_type() == onnx::TensorProto::FLOAT ? 4 : 2;
    bytes += static_cast<std::uint64_t>(elements_of(tensor)) * width;
  }
  return bytes;
}

Result<ManifestFile> write_eight_bit_data(onnx::ModelProto& model, const fs::path& folder,
                                          const fs::path& data_file, const std::stop_token& stop,
                                          const ProgressSink& progress) {
  onnx::GraphProto& graph = *model.mutable_graph();
  TensorReader reader(folder);
  TRY(FileWriter file, FileWriter::create(data_file));
  DataWriter writer(std::move(file), data_file.filename().string());
  const std::uint64_t total = eight_bit_bytes(model);

  // Matrices that share their weights share the new ones.
  std::map<std::string, WideTensors> done;
  for (const SlowMatrix& matrix : slow_matrices(graph)) {
    if (stop.stop_requested()) return std::unexpected(cancelled());
    const std::string key =
        matrix.weights->name() + '\n' + matrix.scales->name() + '\n' + matrix.zero_points->name();
    auto found = done.find(key);
    if (found == done.end()) {
      TRY(const WideMatrix wide, widen(matrix, reader));
      const WideTensors tensors = add_tensors(graph, matrix);
      TRY_VOID(writer.place(*tensors.values, as_bytes(wide.values)));
      TRY_VOID(writer.place(*tensors.scales, as_bytes(wide.scales)));
      TRY_VOID(writer.place(*tensors.zero_points, as_bytes(wide.zero_points)));
      found = done.emplace(key, tensors).first;
      if (progress) progress("8-bit weights", writer.size_bytes(), total);
    }
    use_tensors(*matrix.node, found->second);
  }
  drop_unused(graph);

  // Two tensors may be one range of the file (a tied embedding): they stay one.
  std::map<std::tuple<fs::path, std::uint64_t, std::uint64_t>, std::uint64_t> copied;
  for (onnx::TensorProto& tensor : *graph.mutable_initializer()) {
    const bool is_new = std::ranges::any_of(done, [&](const auto& entry) {
      return &tensor == entry.second.values || &tensor == entry.second.scales ||
             &tensor == entry.second.zero_points;
    });
    if (!is_external(tensor) || is_new) continue;
    if (stop.stop_requested()) return std::unexpected(cancelled());
    TRY(const ExternalData data, external_data(tensor, folder));
    const auto range = std::tuple(data.file, data.offset_bytes, data.size_bytes);
    if (const auto found = copied.find(range); found != copied.end()) {
      writer.point(tensor, found->second, data.size_bytes);
      continue;
    }
    TRY(const auto bytes, reader.bytes_of(tensor));
    TRY_VOID(writer.place(tensor, bytes));
    copied[range] = writer.size_bytes() - bytes.size();
    if (progress) progress("8-bit weights", writer.size_bytes(), total);
  }
  if (progress) progress("8-bit weights", total, total);
  return writer.commit();
}

void relax_logits(onnx::ModelProto& model, const GraphNames& names) {
  onnx::GraphProto& graph = *model.mutable_graph();
  auto& tensors = *graph.mutable_initializer();
  bool had_positions = false;
  for (int i = tensors.size() - 1; i >= 0; --i) {
    if (tensors[i].name() != names.logits_positions) continue;
    tensors.DeleteSubrange(i, 1);
    had_positions = true;
  }
  if (!had_positions) return;
  for (onnx::ValueInfoProto& output : *graph.mutable_output()) {
    if (output.name() != names.logits) continue;
    auto& shape = *output.mutable_type()->mutable_tensor_type()->mutable_shape();
    if (shape.dim_size() == 3) shape.mutable_dim(1)->set_dim_param("logits_count");
  }
}

}  // namespace onnxlocal
