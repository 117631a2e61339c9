#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>

#include "base/progress.h"
#include "base/result.h"
#include "import/context_choice.h"
#include "model/manifest.h"

namespace onnxlocal {

struct ImportOptions {
  std::string name = {};                      ///< The model folder's name in its manifest.
  std::string licence = {};                   ///< Overrides what the file says; empty keeps it.
  std::optional<ContextChoice> context = {};  ///< Empty: the window that the file says.
};

/// Makes a model folder at `target` (whole or not at all; an earlier one is replaced) from a GGUF
/// file: exact weights, tokenizer, chat template, genai_config.json, manifest.json. Any thread.
/// Errors: not_found, model_corrupt (the GGUF file, with the offset), unsupported (names the
/// architecture, tensor type or tokenizer, and those we have), disk_full (checked before the first
/// byte: needed and free), invalid_request (the window asked for), cancelled.
Result<Manifest> import_gguf(const std::filesystem::path& gguf_file,
                             const std::filesystem::path& target, const ImportOptions& options,
                             std::stop_token stop = {}, const ProgressSink& progress = {});

}  // namespace onnxlocal
