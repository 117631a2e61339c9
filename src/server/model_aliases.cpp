#include "server/model_aliases.h"

#include <fmt/format.h>

#include <algorithm>

namespace onnxlocal {

Result<ModelAliases> ModelAliases::parse(std::span<const std::string> entries) {
  ModelAliases aliases;
  for (const std::string& entry : entries) {
    const auto equals = entry.find('=');
    const std::string name = entry.substr(0, equals);
    const bool has_model = equals != std::string::npos && equals + 1 < entry.size();
    if (name.empty() || !has_model || name.find('*') < name.size() - 1) {
      return std::unexpected(
          invalid_request(fmt::format("\"{}\" is no alias", entry),
                          "write NAME=MODEL; a name may end with *, such as claude-*=MODEL"));
    }
    if (!aliases.targets_.emplace(name, entry.substr(equals + 1)).second) {
      return std::unexpected(invalid_request(fmt::format("the alias \"{}\" is there twice", name)));
    }
  }
  return aliases;
}

std::optional<std::string_view> ModelAliases::target_of(std::string_view requested) const {
  if (const auto exact = targets_.find(requested); exact != targets_.end()) return exact->second;
  std::optional<std::string_view> target;
  std::size_t longest = 0;
  for (const auto& [name, model] : targets_) {
    if (!name.ends_with('*') || name.size() <= longest) continue;
    if (!requested.starts_with(std::string_view(name).substr(0, name.size() - 1))) continue;
    longest = name.size();
    target = model;
  }
  return target;
}

Result<const anthropic::ModelCard*> ModelAliases::resolve(
    std::string_view requested, std::span<const anthropic::ModelCard> models) const {
  const auto target = target_of(requested);
  if (!target) return anthropic::resolve_model(requested, models);
  auto found = anthropic::resolve_model(*target, models);
  if (found) return found;
  return std::unexpected(
      with_context(fmt::format("{} is an alias of {}", requested, *target), found.error()));
}

}  // namespace onnxlocal
