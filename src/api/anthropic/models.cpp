#include "api/anthropic/models.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <utility>
#include <vector>

#include "api/anthropic/timestamp.h"
#include "base/json.h"

namespace onnxlocal::anthropic {

namespace {

constexpr std::size_t kPageMax = 1000;
constexpr std::string_view kOwnPrefix = "onnx-local/";
constexpr std::string_view kAliasPrefix = "claude-";

json::object supported(bool yes) { return {{"supported", yes}}; }

/// `supported`, and each of `kinds` the same.
json::object supported_kinds(bool yes, std::initializer_list<std::string_view> kinds) {
  json::object all = supported(yes);
  for (const std::string_view kind : kinds) all[kind] = supported(yes);
  return all;
}

/// What a request may ask for without being refused, and gets.
json::object capabilities(const ModelCard& model) {
  if (model.gives_vectors) {
    json::object embeddings = supported(true);
    if (model.dimensions > 0) embeddings["dimensions"] = model.dimensions;
    return {{"embeddings", std::move(embeddings)}};
  }
  json::object thinking = supported(model.can_think);
  json::object types;
  for (const char* type : {"adaptive", "between_tools", "disabled", "enabled"}) {
    types[type] = supported(true);
  }
  thinking["types"] = std::move(types);
  return {{"batch", supported(true)},
          {"embeddings", supported(false)},
          {"citations", supported(false)},
          {"code_execution", supported(false)},
          {"image_input", supported(false)},
          {"pdf_input", supported(true)},
          {"structured_outputs", supported(true)},
          {"context_management",
           supported_kinds(
               false, {"clear_thinking_20251015", "clear_tool_uses_20250919", "compact_20260112"})},
          {"effort", supported_kinds(true, {"low", "medium", "high", "max", "xhigh"})},
          {"server_tools", supported_kinds(false, {"code_execution", "web_search"})},
          {"thinking", std::move(thinking)}};
}

json::object to_object(const ModelCard& model) {
  return {{"type", "model"},
          {"id", model.id},
          {"display_name", model.display_name},
          {"object", "model"},  // These three are OpenAI's.
          {"created", model.created_at.time_since_epoch().count()},
          {"owned_by", "onnx-local"},
          {"created_at", to_rfc3339(model.created_at)},
          {"max_input_tokens", model.context_tokens},
          {"max_tokens", model.tokens_max},
          {"capabilities", capabilities(model)},
          {"lifecycle", "active"},
          {"line", nullptr},
          {"deprecated_at", nullptr},
          {"retires_at", nullptr}};
}

/// Index of the model with this id. Errors: invalid_request, naming the query's field.
Result<std::size_t> find_cursor(std::span<const ModelCard> models, std::string_view id,
                                std::string_view field) {
  const auto found = std::ranges::find(models, id, &ModelCard::id);
  if (found == models.end()) {
    return std::unexpected(invalid_request(fmt::format("{}: no model has the id '{}'", field, id)));
  }
  return static_cast<std::size_t>(found - models.begin());
}

}  // namespace

Result<ModelPage> parse_model_page(std::optional<std::string_view> limit,
                                   std::optional<std::string_view> after_id,
                                   std::optional<std::string_view> before_id) {
  ModelPage page;
  if (limit) {
    const auto [end, error] =
        std::from_chars(limit->data(), limit->data() + limit->size(), page.limit);
    if (error != std::errc{} || end != limit->data() + limit->size() || page.limit == 0 ||
        page.limit > kPageMax) {
      return std::unexpected(invalid_request(
          fmt::format("limit: Input should be a whole number from 1 to {}", kPageMax)));
    }
  }
  page.after_id = after_id.value_or("");
  page.before_id = before_id.value_or("");
  if (!page.after_id.empty() && !page.before_id.empty()) {
    return std::unexpected(invalid_request("after_id, before_id: only one of them may be given"));
  }
  return page;
}

Result<std::string> model_list_body(std::span<const ModelCard> models, const ModelPage& page) {
  std::size_t begin = 0;
  std::size_t end = models.size();
  bool has_more = false;
  if (!page.before_id.empty()) {
    TRY(end, find_cursor(models, page.before_id, "before_id"));
    begin = end - std::min(end, page.limit);
    has_more = begin > 0;
  } else {
    if (!page.after_id.empty()) {
      TRY(begin, find_cursor(models, page.after_id, "after_id"));
      ++begin;
    }
    end = std::min(end, begin + page.limit);
    has_more = end < models.size();
  }
  const auto shown = models.subspan(begin, end - begin);
  json::array data;
  for (const ModelCard& model : shown) data.push_back(to_object(model));
  json::object body{{"object", "list"}, {"data", std::move(data)}, {"has_more", has_more}};
  body["first_id"] = shown.empty() ? json::value(nullptr) : json::value(shown.front().id);
  body["last_id"] = shown.empty() ? json::value(nullptr) : json::value(shown.back().id);
  return json::serialize(body);
}

std::string model_body(const ModelCard& model) { return json::serialize(to_object(model)); }

Result<const ModelCard*> resolve_model(std::string_view requested,
                                       std::span<const ModelCard> models) {
  for (const ModelCard& model : models) {
    const std::string_view id = model.id;
    if (requested == id) return &model;
    if (id.starts_with(kOwnPrefix) && requested == id.substr(kOwnPrefix.size())) return &model;
  }
  const auto writer = std::ranges::find(models, false, &ModelCard::gives_vectors);
  if (requested.starts_with(kAliasPrefix) && writer != models.end()) return &*writer;
  std::vector<std::string_view> ids;
  for (const ModelCard& model : models) ids.emplace_back(model.id);
  return std::unexpected(not_found(
      fmt::format("model: {}", requested),
      ids.empty() ? "no model is there" : fmt::format("models here: {}", fmt::join(ids, ", "))));
}

}  // namespace onnxlocal::anthropic
