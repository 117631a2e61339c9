#include "api/openai/prompts.h"

#include <fmt/format.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "base/json.h"

namespace onnxlocal::openai {

namespace {

std::optional<RawPrompt> parse_tokens(const json::array& list) {
  std::vector<TokenId> tokens;
  tokens.reserve(list.size());
  for (const json::value& value : list) {
    const std::int64_t* token = value.if_int64();
    if (token == nullptr || *token < 0 || *token > std::numeric_limits<TokenId>::max()) {
      return std::nullopt;
    }
    tokens.push_back(static_cast<TokenId>(*token));
  }
  return tokens;
}

/// One text, or the tokens of one; nothing where it is neither, or empty.
std::optional<RawPrompt> parse_prompt(const json::value& value) {
  if (value.is_string() && !value.get_string().empty()) return std::string(value.get_string());
  const json::array* list = value.if_array();
  if (list == nullptr || list->empty()) return std::nullopt;
  return parse_tokens(*list);
}

}  // namespace

Result<std::vector<RawPrompt>> parse_prompts(const Fields& request, std::string_view name,
                                             std::size_t count_max) {
  TRY(const json::value* value, request.require(name));
  const json::array* list = value->if_array();
  if (list != nullptr && list->size() > count_max && !list->front().is_number()) {
    return std::unexpected(field_error(
        name, fmt::format("a list may have at most {} elements, this has {}: ask several times",
                          count_max, list->size())));
  }
  std::vector<RawPrompt> prompts;
  if (list == nullptr || (!list->empty() && list->front().is_number())) {
    if (auto prompt = parse_prompt(*value)) prompts.push_back(*std::move(prompt));
  } else {
    for (const json::value& element : *list) {
      auto prompt = parse_prompt(element);
      if (!prompt) {
        return std::unexpected(
            field_error(fmt::format("{}.{}", name, prompts.size()),
                        "Input should be a string or a list of tokens that is not empty"));
      }
      prompts.push_back(*std::move(prompt));
    }
  }
  if (!prompts.empty()) return prompts;
  return std::unexpected(field_error(
      name, "Input should be a string or a list of tokens that is not empty, or a list of these"));
}

}  // namespace onnxlocal::openai
