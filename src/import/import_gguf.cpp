#include "import/import_gguf.h"

#include <fmt/format.h>

#include <exception>

#include "base/file_system.h"
#include "base/hash.h"
#include "import/architectures/architecture.h"
#include "import/gguf_reader.h"
#include "import/model_files.h"
#include "model/onnx_file.h"

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModelFileName = "model.onnx";
/// The manifest, and what a file system needs for a handful of files.
constexpr std::uint64_t kSlackBytes = std::uint64_t{1} << 20;

/// A model folder that is thought through to the last byte, and not yet written.
struct FolderPlan {
  GraphBuilder graph{"decoder"};
  std::vector<TextFile> texts;
  Manifest manifest;

  std::uint64_t size_bytes() const {
    std::uint64_t total = graph.data().size_bytes() + graph.model().ByteSizeLong() + kSlackBytes;
    for (const auto& file : texts) total += file.text.size();
    return total;
  }
};

ManifestContext chosen_context(const DecoderShape& shape) {
  return {.tokens = shape.context_tokens,
          .rope_scaling = std::string(to_string(shape.rope.scaling)),
          .rope_factor = shape.rope.factor};
}

Result<FolderPlan> plan_folder(const GgufFile& file, const ImportOptions& options) {
  TRY(const auto name, file.get<std::string_view>("general.architecture"));
  TRY(const auto* architecture, find_architecture(name));
  TRY(auto shape, architecture->read_shape(file));
  if (options.context) TRY_VOID(choose_context(shape, *options.context));
  FolderPlan plan;
  TensorTable tensors(file);
  TRY_VOID(architecture->build(shape, tensors, plan.graph));
  TRY_VOID(tensors.check_all_taken());
  TRY(plan.texts, small_model_files(file, shape));
  TRY(plan.manifest, describe_gguf(file, options));
  if (options.context) plan.manifest.context = chosen_context(shape);
  return plan;
}

Result<void> check_room(std::uint64_t needed, const fs::path& target) {
  TRY(const auto free, free_disk_bytes(target));
  if (needed <= free) return {};
  return std::unexpected(
      disk_full(fmt::format("the model folder needs {} bytes, and {} are free at {}", needed, free,
                            target.parent_path().string()),
                "free some space, or set ONNX_LOCAL_HOME to a folder on another disk"));
}

/// Writes all files but the manifest, and lists them in it.
Result<void> write_files(FolderPlan& plan, const fs::path& folder, const std::stop_token& stop,
                         const ProgressSink& progress) {
  auto& files = plan.manifest.files;
  TRY(auto data, plan.graph.data().write(folder / kExternalDataName, stop, progress));
  TRY_VOID(write_onnx_file(folder / kModelFileName, plan.graph.model()));
  TRY(auto graph_hash, sha256_file(folder / kModelFileName, stop));
  files.push_back({kModelFileName, plan.graph.model().ByteSizeLong(), std::move(graph_hash)});
  files.push_back({kExternalDataName, data.size_bytes, std::move(data.sha256)});
  for (const auto& file : plan.texts) {
    TRY_VOID(write_text_file(folder / file.name, file.text));
    const auto bytes = std::as_bytes(std::span(file.text));
    files.push_back({file.name, bytes.size(), sha256_hex(bytes)});
  }
  return write_text_file(folder / "manifest.json", to_json(plan.manifest));
}

Result<Manifest> import_checked(const fs::path& gguf_file, const fs::path& target,
                                const ImportOptions& options, const std::stop_token& stop,
                                const ProgressSink& progress) {
  TRY(const auto file, GgufFile::open(gguf_file));
  auto planned = plan_folder(file, options);
  if (!planned) return std::unexpected(with_context(gguf_file.string(), planned.error()));
  auto& plan = *planned;
  plan.manifest.source = gguf_file.filename().string();
  TRY_VOID(check_room(plan.size_bytes(), target));
  TRY(plan.manifest.revision, sha256_file(gguf_file, stop, progress));
  TRY(auto staged, StagedFolder::create(target));
  TRY_VOID(write_files(plan, staged.path(), stop, progress));
  if (stop.stop_requested()) return std::unexpected(cancelled());
  TRY_VOID(staged.commit());
  return std::move(plan.manifest);
}

}  // namespace

Result<Manifest> import_gguf(const fs::path& gguf_file, const fs::path& target,
                             const ImportOptions& options, std::stop_token stop,
                             const ProgressSink& progress) {
  try {
    return import_checked(gguf_file, target, options, stop, progress);
  } catch (const std::exception& failure) {
    // Out of memory, from the standard library or protobuf.
    return std::unexpected(
        internal_error(fmt::format("{}: {}", gguf_file.string(), failure.what())));
  }
}

}  // namespace onnxlocal
