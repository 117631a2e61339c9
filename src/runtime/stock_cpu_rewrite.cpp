#include "runtime/stock_cpu_rewrite.h"

#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include "base/hash.h"
#include "base/log.h"
#include "model/manifest.h"
#include "model/onnx_file.h"
#include "runtime/derived_cache.h"
#include "runtime/derived_model.h"
#include "runtime/model_identity.h"

namespace onnxlocal {

namespace {

namespace fs = std::filesystem;

/// A new number makes every derived model anew: raise it when widen_blocks or the layout changes.
constexpr int kFormatVersion = 1;
constexpr std::string_view kModelName = "model.onnx";
constexpr std::string_view kDataName = "model.onnx.data";
constexpr std::string_view kManifestName = "manifest.json";
constexpr std::size_t kManifestBytesMax = std::size_t{1} << 20;

/// True where the folder holds a whole derived model.
bool is_whole(const fs::path& folder) {
  const auto text = read_text_file(folder / kManifestName, kManifestBytesMax);
  if (!text) return false;
  const auto manifest = parse_manifest(*text, kManifestName);
  if (!manifest || !verify_files(folder, *manifest, /*check_hashes=*/false)) {
    LOG_INFO("the derived model in {} is damaged: making it again", folder.string());
    return false;
  }
  // The data's size is checked; the graph is small enough for its hash.
  for (const ManifestFile& file : manifest->files) {
    if (file.name != kModelName) continue;
    const auto digest = sha256_file(folder / kModelName);
    return digest && *digest == file.sha256;
  }
  return false;
}

Result<void> check_room(const fs::path& folder, std::uint64_t needed) {
  TRY(const std::uint64_t free, free_disk_bytes(folder));
  if (free >= needed) return {};
  return std::unexpected(
      disk_full(fmt::format("the 8-bit weights need {} MiB in the cache folder, {} MiB are free",
                            (needed >> 20) + 1, free >> 20),
                "free some room, or name another cache folder"));
}

/// Fills `folder` with the derived model.
Result<void> write_derived(const ModelFolder& source, const onnx::ModelProto& model,
                           const fs::path& folder, const std::stop_token& stop,
                           const ProgressSink& progress) {
  onnx::ModelProto derived = model;
  TRY(ManifestFile data, write_eight_bit_data(derived, source.model_file().parent_path(),
                                              folder / kDataName, stop, progress));
  relax_logits(derived, source.config.names);
  TRY_VOID(write_onnx_file(folder / kModelName, derived));
  TRY(std::string digest, sha256_file(folder / kModelName));
  Manifest manifest;
  manifest.name = source.name;
  manifest.source = "8-bit weights for ONNX Runtime's CPU provider";
  manifest.quantization = "Q8_0";
  manifest.files.push_back(
      {std::string(kModelName), fs::file_size(folder / kModelName), std::move(digest)});
  manifest.files.push_back(std::move(data));
  return write_text_file(folder / kManifestName, to_json(manifest));
}

Result<StagedFolder> make_staged(const ModelFolder& source, const onnx::ModelProto& model,
                                 const fs::path& target, const std::stop_token& stop,
                                 const ProgressSink& progress) {
  TRY(StagedFolder staged, StagedFolder::create(target));
  TRY_VOID(check_room(staged.path(), eight_bit_bytes(model)));
  TRY_VOID(write_derived(source, model, staged.path(), stop, progress));
  return staged;
}

/// Errors that another folder would not help with.
bool is_final(const Error& error) {
  return error.code == ErrorCode::kCancelled || error.code == ErrorCode::kModelCorrupt ||
         error.code == ErrorCode::kDiskFull;
}

PreparedModel use_derived(const ModelFolder& source, const fs::path& target,
                          std::optional<FileLock> in_use) {
  tidy_derived_models(target, source.model_file());
  return {
      .file = target / kModelName, .weights = "q8", .temporary = {}, .in_use = std::move(in_use)};
}

Result<PreparedModel> prepare_in_cache(const ModelFolder& folder, const onnx::ModelProto& model,
                                       const fs::path& target, const std::stop_token& stop,
                                       const ProgressSink& progress) {
  TRY(StagedFolder staged, make_staged(folder, model, target, stop, progress));
  // Another process may have been quicker, and may be reading its own.
  if (!is_whole(target)) {
    TRY_VOID(staged.commit());
  }
  return use_derived(folder, target, FileLock::try_share(target));
}

}  // namespace

bool needs_eight_bit_weights(const onnx::ModelProto& model) { return has_slow_matrices(model); }

Result<PreparedModel> prepare_eight_bit_model(const ModelFolder& folder,
                                              const onnx::ModelProto& model,
                                              const fs::path& cache_folder,
                                              const std::stop_token& stop,
                                              const ProgressSink& progress) {
  TRY(const std::string identity,
      model_identity(folder, model, fmt::format("eight-bit {}", kFormatVersion)));
  std::string why = "no cache folder is named";
  if (!cache_folder.empty()) {
    const fs::path target = cache_folder / "derived" / identity;
    auto in_use = FileLock::try_share(target);
    if (is_whole(target)) return use_derived(folder, target, std::move(in_use));
    auto prepared = prepare_in_cache(folder, model, target, stop, progress);
    if (prepared || is_final(prepared.error())) return prepared;
    why = describe(prepared.error());
  }
  std::error_code error;
  const fs::path temporary = fs::temp_directory_path(error) / ("onnx-local-" + identity);
  if (!error) {
    auto staged = make_staged(folder, model, temporary, stop, progress);
    if (staged) {
      LOG_WARNING("8-bit weights cannot be kept ({}): they are made at every start", why);
      const fs::path file = staged->path() / kModelName;
      return PreparedModel{
          .file = file, .weights = "q8", .temporary = *std::move(staged), .in_use = {}};
    }
    if (staged.error().code == ErrorCode::kCancelled) return std::unexpected(staged.error());
    why = describe(staged.error());
  }
  LOG_WARNING("8-bit weights cannot be made ({}): the exact ones run about 10 times slower", why);
  return PreparedModel{
      .file = folder.model_file(), .weights = "exact", .temporary = {}, .in_use = {}};
}

}  // namespace onnxlocal
