#include "runtime/own_provider.h"

#include <fstream>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/environment.h"
#include "base/log.h"
#include "runtime/derived_cache.h"
#include "runtime/paged_format.h"

namespace onnxlocal {

namespace {

namespace fs = std::filesystem;

constexpr const char* kLibraryVariable = "ONNX_LOCAL_EP_LIBRARY";

/// The folders of the library that holds this code, where it is one, and of the program.
std::vector<fs::path> own_folders() {
  std::vector<fs::path> folders;
  if (auto folder = mapped_library_folder("libonnxlocal.so")) folders.push_back(*std::move(folder));
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) folders.push_back(program.parent_path());
  return folders;
}

}  // namespace

std::optional<fs::path> mapped_library_folder(std::string_view name) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const auto slash = line.find('/');
    if (slash == std::string::npos) continue;
    const fs::path path = line.substr(slash);
    if (path.filename().string().starts_with(name)) return path.parent_path();
  }
  return std::nullopt;
}

bool is_own_provider(const ExecutionProviderChoice& choice) {
  return choice.name == kOwnProviderShortName;
}

Result<fs::path> find_own_provider() {
  std::error_code ignored;
  if (const auto named = environment_variable(kLibraryVariable)) {
    if (fs::exists(*named, ignored)) return fs::absolute(*named, ignored);
    return std::unexpected(
        unavailable(fmt::format("{} names '{}', which is not there", kLibraryVariable, *named)));
  }
  std::vector<std::string> places;
  for (const fs::path& folder : own_folders()) {
    for (const fs::path& place : {folder, folder / ".." / "lib"}) {
      const fs::path library = (place / kOwnProviderLibrary).lexically_normal();
      if (fs::exists(library, ignored)) return library;
      places.push_back(place.lexically_normal().string());
    }
  }
  return std::unexpected(
      unavailable(fmt::format("{} is not in {}", kOwnProviderLibrary, fmt::join(places, " or ")),
                  fmt::format("name it by {}", kLibraryVariable)));
}

Result<ExecutionProviderChoice> with_own_library(ExecutionProviderChoice choice) {
  if (choice.library.empty()) {
    TRY(choice.library, find_own_provider());
  }
  return choice;
}

ExecutionProviderChoice complete_own_provider(ExecutionProviderChoice choice,
                                              const RuntimeOptions& options,
                                              const std::string& instruction_set,
                                              const std::string& model_identity,
                                              const fs::path& model_file) {
  if (options.threads != 0) {
    choice.options.try_emplace(kThreadsOption, std::to_string(options.threads));
  }
  if (!options.profile_file.empty()) {
    choice.options.try_emplace(kProfileOption, options.profile_file.string());
  }
  if (options.cache_folder.empty() || choice.options.contains(kPackedFileOption)) return choice;
  const fs::path folder = options.cache_folder / "packed" / model_identity;
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    LOG_WARNING("packed weights cannot be kept in {} ({}): they are made at every start",
                folder.string(), error.message());
    return choice;
  }
  tidy_derived_models(folder, model_file);
  // Each instruction set packs in its own way: two that take turns would undo each other's file.
  choice.options.emplace(kPackedFileOption,
                         (folder / fmt::format("weights.{}", instruction_set)).string());
  return choice;
}

}  // namespace onnxlocal
