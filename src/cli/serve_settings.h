#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "server/middleware/api_keys.h"
#include "server/model_aliases.h"
#include "server/server.h"

namespace onnxlocal {

struct ResolvedSetting;

/// The settings that only a server has.
struct ServeSettings {
  std::filesystem::path api_key_file;  ///< Empty: none.
  KeyLimits limits;
  std::vector<std::string> cors_origins;
  ModelAliases aliases;
  std::chrono::seconds request_timeout{0};
  std::filesystem::path batch_folder;  ///< Empty: beside the models.
};

/// Takes over the setting where it is one of these. Errors: invalid_request, with the setting's
/// name and origin.
Result<void> apply_serve_setting(const ResolvedSetting& setting, ServeSettings& settings);

/// The server's options, with the keys of the file and of `ONNX_LOCAL_API_KEY` read, and again at
/// SIGHUP. Warnings go to standard error. Errors: those of `load_key_file`.
Result<ServerOptions> server_options(const ServeSettings& settings);

}  // namespace onnxlocal
