#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "base/result.h"

namespace onnxlocal {

struct ManifestFile {
  std::string name;  ///< Relative to the folder, no "..", no leading slash.
  std::uint64_t size_bytes = 0;
  std::string sha256;
  friend bool operator==(const ManifestFile&, const ManifestFile&) = default;
};

/// A context window that was chosen at import, in place of the source's own.
struct ManifestContext {
  std::uint64_t tokens = 0;
  std::string rope_scaling;  ///< "none", "linear", "yarn".
  double rope_factor = 1.0;  ///< How many times the trained window was stretched.
  friend bool operator==(const ManifestContext&, const ManifestContext&) = default;
};

/// `manifest.json`: where a model came from and what its files are. Format:
/// docs/formats/manifest.md.
struct Manifest {
  std::string name;
  std::string source;    ///< The file or repository it was made from, without a machine's paths.
  std::string revision;  ///< sha256 of the source file, or a repository's revision.
  std::string licence;   ///< As the source says; empty where it does not.
  std::string quantization;  ///< "Q4_1", "Q8_0", "F16", ...: the source's most common type.
  std::uint64_t parameters = 0;
  std::optional<ManifestContext> context;
  std::vector<ManifestFile> files;
};

std::string to_json(const Manifest& manifest);
/// `where` names the file in errors. Errors: model_corrupt.
Result<Manifest> parse_manifest(std::string_view json, std::string_view where);

/// Compares each file's size, and its sha256 where `check_hashes`. Errors: model_corrupt naming the
/// file, the expected and the found size; cancelled.
Result<void> verify_files(const std::filesystem::path& folder, const Manifest& manifest,
                          bool check_hashes, const std::stop_token& stop = {},
                          const ProgressSink& progress = {});

}  // namespace onnxlocal
