#include "runtime/derived_cache.h"

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "base/file_lock.h"
#include "base/file_system.h"
#include "base/log.h"

namespace onnxlocal {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSourceName = "made_from";
constexpr std::size_t kPathBytesMax = std::size_t{1} << 16;
constexpr std::size_t kKeyDigits = 32;

/// A derived model that is there.
struct Derived {
  fs::path folder;
  std::string source;  ///< Empty where it does not say.
  fs::file_time_type last_use;
};

bool is_key(std::string_view name) {
  return name.size() == kKeyDigits &&
         name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// StagedFolder's name for a folder that is being filled, or removed.
bool is_staging(std::string_view name) {
  return name.starts_with('.') && name.find(".staging-") != std::string_view::npos;
}

std::string source_of(const fs::path& folder) {
  return read_text_file(folder / kSourceName, kPathBytesMax).value_or("");
}

/// Under another name first: whoever comes now finds the whole folder or none.
void remove_unless_in_use(const fs::path& folder) {
  const auto lock = FileLock::try_acquire(folder);
  if (!lock) return;
  std::error_code failed;
  fs::path doomed = folder;
  if (!is_staging(folder.filename().string())) {
    doomed = folder.parent_path() / fmt::format(".{}.staging-old", folder.filename().string());
    fs::rename(folder, doomed, failed);
    if (failed) return;
    LOG_INFO("removing the derived model in {}: it is no longer needed", folder.string());
  }
  fs::remove_all(doomed, failed);
}

/// A model that was moved keeps its derived model, so the note may have to change.
void note_use(const fs::path& folder, const std::string& source) {
  std::error_code failed;
  if (source_of(folder) == source) {
    fs::last_write_time(folder / kSourceName, fs::file_time_type::clock::now(), failed);
  } else if (const auto noted = write_text_file(folder / kSourceName, source); !noted) {
    LOG_INFO("a derived model cannot be noted as used: {}", noted.error().message);
  }
}

}  // namespace

void tidy_derived_models(const fs::path& current, const fs::path& model_file) {
  std::error_code failed;
  const std::string current_source = fs::absolute(model_file, failed).string();
  note_use(current, current_source);
  std::vector<Derived> kept;
  std::vector<fs::path> unneeded;
  for (const auto& entry : fs::directory_iterator(current.parent_path(), failed)) {
    const std::string name = entry.path().filename().string();
    if (entry.path() == current || (!is_key(name) && !is_staging(name))) continue;
    Derived derived{entry.path(), source_of(entry.path()),
                    fs::last_write_time(entry.path() / kSourceName, failed)};
    const bool is_needed = is_key(name) && !derived.source.empty() &&
                           derived.source != current_source && fs::exists(derived.source, failed);
    if (is_needed) {
      kept.push_back(std::move(derived));
    } else {
      unneeded.push_back(entry.path());
    }
  }
  std::ranges::sort(kept, std::ranges::greater(), &Derived::last_use);
  for (std::size_t i = kDerivedKeptMax; i < kept.size(); ++i) unneeded.push_back(kept[i].folder);
  for (const fs::path& folder : unneeded) remove_unless_in_use(folder);
}

}  // namespace onnxlocal
