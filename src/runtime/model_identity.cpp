#include "runtime/model_identity.h"

#include <chrono>
#include <cstdint>
#include <span>

#include <fmt/format.h>

#include "base/hash.h"
#include "runtime/derived_model.h"

namespace onnxlocal {

namespace {

namespace fs = std::filesystem;

/// Larger `.onnx` files hold weights: their size and time say enough.
constexpr std::uintmax_t kHashedBytesMax = std::uintmax_t{64} << 20;

}  // namespace

Result<std::string> model_identity(const ModelFolder& folder, const onnx::ModelProto& model,
                                   std::string_view purpose) {
  Sha256 hash;
  const auto add = [&hash](std::string_view text) { hash.update(std::as_bytes(std::span(text))); };
  const auto add_file = [&](const fs::path& file) {
    std::error_code error;
    const auto time = fs::last_write_time(file, error).time_since_epoch();
    add(fmt::format("{} {} {}\n", file.filename().string(), fs::file_size(file, error),
                    std::chrono::duration_cast<std::chrono::nanoseconds>(time).count()));
  };
  add(fmt::format("{}\n", purpose));
  add_file(folder.model_file());
  std::error_code error;
  if (fs::file_size(folder.model_file(), error) <= kHashedBytesMax && !error) {
    TRY(const std::string digest, sha256_file(folder.model_file()));
    add(digest);
  }
  TRY(const auto files, external_files(model, folder.model_file().parent_path()));
  for (const fs::path& file : files) add_file(file);
  return hash.finish_hex().substr(0, 32);
}

}  // namespace onnxlocal
