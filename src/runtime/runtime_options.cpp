#include "runtime/runtime_options.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include <fmt/format.h>

namespace onnxlocal {

namespace {

constexpr std::string_view kProvidersHint =
    "write providers as NAME, NAME:key=value;key=value or NAME@/path/to/library.so, with commas "
    "between them: cuda:device_id=0,cpu";

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

/// "CUDAExecutionProvider" and "CUDA" are the provider "cuda".
std::string short_name(std::string_view name) {
  constexpr std::string_view kSuffix = "ExecutionProvider";
  if (name.size() > kSuffix.size() && name.ends_with(kSuffix)) name.remove_suffix(kSuffix.size());
  std::string lower(name);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  // "OnnxLocalExecutionProvider" is ours.
  return lower == "onnxlocal" ? "onnx-local" : lower;
}

bool is_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
  });
}

Result<std::map<std::string, std::string>> parse_provider_options(std::string_view text) {
  std::map<std::string, std::string> options;
  while (!text.empty()) {
    const auto end = text.find(';');
    const std::string_view pair = trim(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    if (equals == std::string_view::npos || trim(pair.substr(0, equals)).empty()) {
      return std::unexpected(
          invalid_request(fmt::format("execution provider option '{}' is not key=value", pair),
                          std::string(kProvidersHint)));
    }
    options[std::string(trim(pair.substr(0, equals)))] = trim(pair.substr(equals + 1));
  }
  return options;
}

Result<ExecutionProviderChoice> parse_execution_provider(std::string_view text) {
  ExecutionProviderChoice choice;
  const auto at = text.find('@');
  // A library's path may hold colons: its options begin after the last one.
  const auto colon = at == std::string_view::npos ? text.find(':') : text.rfind(':');
  const bool has_options =
      colon != std::string_view::npos && (at == std::string_view::npos || colon > at);
  const std::string_view head = trim(text.substr(0, has_options ? colon : text.size()));
  if (has_options) {
    TRY(choice.options, parse_provider_options(text.substr(colon + 1)));
  }
  const std::string_view name = trim(head.substr(0, at));
  if (!is_name(name)) {
    return std::unexpected(
        invalid_request(fmt::format("'{}' is not an execution provider's name", name),
                        std::string(kProvidersHint)));
  }
  choice.name = short_name(name);
  if (at != std::string_view::npos) {
    choice.library = std::string(trim(head.substr(at + 1)));
    if (choice.library.empty()) {
      return std::unexpected(
          invalid_request(fmt::format("execution provider '{}' names no library after '@'", name),
                          std::string(kProvidersHint)));
    }
  }
  return choice;
}

}  // namespace

Result<GraphOptimization> parse_graph_optimization(std::string_view text) {
  for (const GraphOptimization level : {GraphOptimization::kDisabled, GraphOptimization::kBasic,
                                        GraphOptimization::kExtended, GraphOptimization::kAll}) {
    if (text == to_string(level)) return level;
  }
  return std::unexpected(invalid_request(fmt::format("unknown graph optimization '{}'", text),
                                         "use disabled, basic, extended or all"));
}

std::string_view to_string(GraphOptimization level) {
  switch (level) {
    case GraphOptimization::kDisabled: return "disabled";
    case GraphOptimization::kBasic: return "basic";
    case GraphOptimization::kExtended: return "extended";
    case GraphOptimization::kAll: return "all";
  }
  return "unknown";
}

Result<KvCacheType> parse_kv_cache_type(std::string_view text) {
  for (const KvCacheType type : {KvCacheType::kBf16, KvCacheType::kInt8}) {
    if (text == to_string(type)) return type;
  }
  return std::unexpected(invalid_request(fmt::format("unknown type of keys and values '{}'", text),
                                         "use bf16 or int8"));
}

std::string_view to_string(KvCacheType type) {
  switch (type) {
    case KvCacheType::kBf16: return "bf16";
    case KvCacheType::kInt8: return "int8";
  }
  return "unknown";
}

Result<std::vector<ExecutionProviderChoice>> parse_execution_providers(std::string_view text) {
  std::vector<ExecutionProviderChoice> choices;
  while (!text.empty()) {
    const auto end = text.find(',');
    const std::string_view item = trim(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    if (item.empty()) continue;
    TRY(auto choice, parse_execution_provider(item));
    choices.push_back(std::move(choice));
  }
  if (choices.empty()) {
    return std::unexpected(
        invalid_request("no execution provider is named", std::string(kProvidersHint)));
  }
  return choices;
}

}  // namespace onnxlocal
