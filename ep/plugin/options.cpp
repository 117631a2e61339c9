#include "plugin/options.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "plugin/names.h"

namespace onnxlocal::ep {

namespace {

constexpr unsigned kThreadsMax = 1024;

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char letter) { return std::tolower(letter); });
  return lower;
}

bool read_threads(const std::string& text, unsigned& threads) {
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, threads);
  return error == std::errc() && rest == end && threads <= kThreadsMax;
}

/// Whether the option is known and its value makes sense.
bool read_option(std::string_view name, const std::string& value, ProviderOptions& options) {
  if (name == kOptionIsa) {
    options.isa = value;
  } else if (name == kOptionPackedFile) {
    options.packed_file = value;
  } else if (name == kOptionProfile) {
    options.profile = value;
  } else if (name == kOptionThreads) {
    unsigned threads = 0;
    if (!read_threads(value, threads)) return false;
    options.threads = threads;
  } else if (name == kOptionMode) {
    if (value != "whole" && value != "single") return false;
    options.mode = value == "whole" ? Mode::kWhole : Mode::kSingle;
  } else {
    return false;
  }
  return true;
}

}  // namespace

ProviderOptions read_options(const std::map<std::string, std::string>& entries,
                             std::vector<std::string>& warnings) {
  const std::string prefix = "ep." + lower_case(kProviderName) + ".";
  ProviderOptions options;
  for (const auto& [key, value] : entries) {
    const std::string lower = lower_case(key);
    if (!lower.starts_with(prefix)) continue;
    const std::string name = lower.substr(prefix.size());
    if (!read_option(name, value, options)) {
      std::string warning = "the option ";
      warning.append(name).append("=").append(value);
      warning +=
          " is not used: known are threads=NUMBER, isa=NAME, packed_file=PATH, mode=whole|single, "
          "profile=PATH";
      warnings.push_back(std::move(warning));
    }
  }
  return options;
}

std::string environment_isa() {
  // tidy: allow(banned) ep/ has nothing of src/, and this is its one variable
  const char* const isa = std::getenv("ONNX_LOCAL_ISA");
  return isa == nullptr ? "" : isa;
}

}  // namespace onnxlocal::ep
