#include "import/onnx_writer.h"

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include <array>

#include "base/file_system.h"
#include "base/hash.h"

namespace onnxlocal {
namespace {

/// Writes, hashes and counts; refuses to go on after a stop request.
class HashingWriter {
 public:
  HashingWriter(FileWriter file, std::stop_token stop, const ProgressSink& progress,
                std::uint64_t total)
      : file_(std::move(file)), stop_(std::move(stop)), progress_(progress), total_(total) {}

  Result<void> write(std::span<const std::byte> bytes) {
    if (stop_.stop_requested()) return std::unexpected(cancelled());
    TRY_VOID(file_.write(bytes));
    hash_.update(bytes);
    report(file_.size_bytes());
    return {};
  }

  Result<void> pad_to(std::uint64_t offset) {
    static constexpr std::array<std::byte, kExternalDataAlignment> kZeros{};
    return write(std::span(kZeros).first(offset - file_.size_bytes()));
  }

  std::uint64_t size_bytes() const { return file_.size_bytes(); }

  Result<WrittenFile> finish() {
    TRY_VOID(file_.commit());
    if (progress_) progress_(kProgressName, total_, total_);
    return WrittenFile{.size_bytes = total_, .sha256 = hash_.finish_hex()};
  }

 private:
  static constexpr const char* kProgressName = "writing weights";

  void report(std::uint64_t done) {
    // A hundredth at a time: pieces are small, and a progress bar is no finer.
    if (!progress_ || done < next_report_) return;
    next_report_ = done + total_ / 100 + 1;
    progress_(kProgressName, done, total_);
  }

  FileWriter file_;
  Sha256 hash_;
  std::stop_token stop_;
  const ProgressSink& progress_;
  std::uint64_t total_;
  std::uint64_t next_report_ = 0;
};

void add_entry(onnx::TensorProto& tensor, const char* key, std::string value) {
  auto* entry = tensor.add_external_data();
  entry->set_key(key);
  entry->set_value(std::move(value));
}

}  // namespace

std::uint64_t ExternalDataPlan::add(std::uint64_t size_bytes, ByteSource source) {
  const auto offset =
      (end_ + kExternalDataAlignment - 1) / kExternalDataAlignment * kExternalDataAlignment;
  blocks_.push_back({offset, size_bytes, std::move(source)});
  end_ = offset + size_bytes;
  return offset;
}

Result<WrittenFile> ExternalDataPlan::write(const std::filesystem::path& file, std::stop_token stop,
                                            const ProgressSink& progress) const {
  TRY(auto opened, FileWriter::create(file));
  HashingWriter writer(std::move(opened), std::move(stop), progress, end_);
  const ByteSink sink = [&writer](std::span<const std::byte> bytes) { return writer.write(bytes); };
  for (const auto& block : blocks_) {
    TRY_VOID(writer.pad_to(block.offset));
    TRY_VOID(block.source(sink));
    if (writer.size_bytes() != block.offset + block.size_bytes) {
      return std::unexpected(internal_error(
          fmt::format("{}: planned {} bytes at offset {}, wrote {}", file.filename().string(),
                      block.size_bytes, block.offset, writer.size_bytes() - block.offset)));
    }
  }
  return writer.finish();
}

void set_external(onnx::TensorProto& tensor, std::uint64_t offset, std::uint64_t size_bytes) {
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  add_entry(tensor, "location", kExternalDataName);
  add_entry(tensor, "offset", std::to_string(offset));
  add_entry(tensor, "length", std::to_string(size_bytes));
}

}  // namespace onnxlocal
