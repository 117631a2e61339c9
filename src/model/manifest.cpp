#include "model/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/hash.h"
#include "model/json_fields.h"

namespace onnxlocal {
namespace {

constexpr std::uint64_t kNumberMax = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kFilesMax = 4096;

bool is_sha256(std::string_view text) {
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return text.size() == 64 && std::ranges::all_of(text, is_hex);
}

bool stays_inside(const std::filesystem::path& name) {
  if (name.empty() || name.is_absolute()) return false;
  return std::ranges::none_of(name, [](const auto& part) { return part == ".."; });
}

Result<std::string> text_or_empty(const JsonFields& fields, std::string_view key) {
  TRY(auto text, fields.optional_text(key));
  return std::move(text).value_or("");
}

Result<ManifestFile> parse_file(const json::value& entry, std::string_view where) {
  if (!entry.is_object()) {
    return std::unexpected(model_corrupt(
        fmt::format("{}: `files`: expected objects, found {}", where, kind_name(entry))));
  }
  const JsonFields fields(entry.get_object(), std::string(where), "files[].");
  ManifestFile file;
  TRY(file.name, fields.text("name"));
  TRY(file.size_bytes, fields.count("size_bytes", 0, kNumberMax));
  TRY(file.sha256, fields.text("sha256"));
  if (!stays_inside(file.name) || file.name.find('\0') != std::string::npos) {
    return std::unexpected(
        model_corrupt(fmt::format("{}: expected a path inside the model's folder, found '{}'",
                                  fields.name("name"), file.name)));
  }
  if (!is_sha256(file.sha256)) {
    return std::unexpected(
        model_corrupt(fmt::format("{}: expected 64 lower-case hexadecimal digits, found '{}'",
                                  fields.name("sha256"), file.sha256)));
  }
  return file;
}

Result<std::optional<ManifestContext>> parse_context(const JsonFields& root) {
  if (!root.has("context")) return std::nullopt;
  TRY(const auto fields, root.object("context"));
  ManifestContext context;
  TRY(context.tokens, fields.count("tokens", 1, kNumberMax));
  TRY(context.rope_scaling, text_or_empty(fields, "rope_scaling"));
  TRY(const auto factor, fields.optional_number("rope_factor", 1.0, 1e9));
  context.rope_factor = factor.value_or(1.0);
  return context;
}

}  // namespace

std::string to_json(const Manifest& manifest) {
  json::array files;
  for (const auto& file : manifest.files) {
    files.push_back(
        {{"name", file.name}, {"size_bytes", file.size_bytes}, {"sha256", file.sha256}});
  }
  json::object document = {
      {"format", 1},
      {"name", manifest.name},
      {"source", manifest.source},
      {"revision", manifest.revision},
      {"licence", manifest.licence},
      {"quantization", manifest.quantization},
      {"parameters", manifest.parameters},
  };
  if (manifest.context) {
    document["context"] = {{"tokens", manifest.context->tokens},
                           {"rope_scaling", manifest.context->rope_scaling},
                           {"rope_factor", manifest.context->rope_factor}};
  }
  document["files"] = std::move(files);
  return json::serialize(document) + "\n";
}

Result<Manifest> parse_manifest(std::string_view text, std::string_view where) {
  TRY(const auto document, parse_model_json(text, where));
  const JsonFields root(document.get_object(), std::string(where));
  TRY(const auto format, root.count("format", 1, kNumberMax));
  if (format != 1) {
    return std::unexpected(
        unsupported(fmt::format("{}: format {} is newer than this program, which reads format 1",
                                where, format),
                    "update onnx-local, or import the model again"));
  }
  Manifest manifest;
  TRY(manifest.name, root.text("name"));
  TRY(manifest.source, text_or_empty(root, "source"));
  TRY(manifest.revision, text_or_empty(root, "revision"));
  TRY(manifest.licence, text_or_empty(root, "licence"));
  TRY(manifest.quantization, text_or_empty(root, "quantization"));
  TRY(const auto parameters, root.optional_count("parameters", 0, kNumberMax));
  manifest.parameters = parameters.value_or(0);
  TRY(manifest.context, parse_context(root));
  const auto* files = root.find("files");
  if (files == nullptr || !files->is_array() || files->get_array().size() > kFilesMax) {
    return std::unexpected(model_corrupt(
        fmt::format("{}: expected an array of at most {} entries", root.name("files"), kFilesMax)));
  }
  for (const auto& entry : files->get_array()) {
    TRY(auto file, parse_file(entry, where));
    manifest.files.push_back(std::move(file));
  }
  return manifest;
}

Result<void> verify_files(const std::filesystem::path& folder, const Manifest& manifest,
                          bool check_hashes, const std::stop_token& stop,
                          const ProgressSink& progress) {
  constexpr auto kHint = "import or download the model again";
  for (const auto& file : manifest.files) {
    if (stop.stop_requested()) return std::unexpected(cancelled());
    const auto path = folder / file.name;
    std::error_code failed;
    const auto size = std::filesystem::file_size(path, failed);
    if (failed) {
      return std::unexpected(model_corrupt(
          fmt::format("{}: expected {} bytes, found no such file", path.string(), file.size_bytes),
          kHint));
    }
    if (size != file.size_bytes) {
      return std::unexpected(model_corrupt(
          fmt::format("{}: expected {} bytes, found {}", path.string(), file.size_bytes, size),
          kHint));
    }
  }
  if (!check_hashes) return {};
  for (const auto& file : manifest.files) {
    const auto path = folder / file.name;
    TRY(const auto found, sha256_file(path, stop, progress));
    if (found != file.sha256) {
      return std::unexpected(model_corrupt(
          fmt::format("{}: expected sha256 {}, found {}", path.string(), file.sha256, found),
          kHint));
    }
  }
  return {};
}

}  // namespace onnxlocal
