#pragma once

#include <cstddef>
#include <filesystem>

namespace onnxlocal {

/// Derived models that are kept besides the one in use: a bound on what a person changes between.
inline constexpr std::size_t kDerivedKeptMax = 7;

/// To be called when the derived model in `current`, made from `model_file`, is about to be used:
/// notes both there, and removes from the folder around it what nobody needs any more, namely
/// derived models whose model is gone or has become `current`, the least recently used beyond
/// kDerivedKeptMax, and what a crash left half-made. One whose folder is locked stays. Errors end
/// here: what cannot be written or removed stays as it is.
void tidy_derived_models(const std::filesystem::path& current,
                         const std::filesystem::path& model_file);

}  // namespace onnxlocal
