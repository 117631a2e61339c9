#pragma once

#include <string>

#include "model/model_config.h"

namespace onnxlocal {

/// Names what a model is, for caches: a hash of the manifest's list of files (names, sizes, SHA-256
/// of each), so that copies of a model share one and a model made anew has another. Without a
/// manifest: of the names, sizes and times of the folder's files.
std::string content_hash(const ModelFolder& folder);

}  // namespace onnxlocal
