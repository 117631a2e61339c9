#include "api/anthropic/documents.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "api/anthropic/cache_control.h"
#include "api/anthropic/limits.h"
#include "base/base64.h"
#include "base/utf8.h"

namespace onnxlocal::anthropic {

namespace {

/// Media types besides text/... and ...+json, ...+xml whose bytes are text.
constexpr std::array<std::string_view, 7> kTextTypes = {
    "application/json", "application/xml",  "application/yaml",      "application/x-yaml",
    "application/toml", "application/x-sh", "application/javascript"};

bool is_text_type(std::string_view media_type) {
  media_type = media_type.substr(0, media_type.find(';'));
  return media_type.starts_with("text/") || media_type.ends_with("+json") ||
         media_type.ends_with("+xml") ||
         std::ranges::find(kTextTypes, media_type) != kTextTypes.end();
}

void append_element(std::string& text, std::string_view name, std::string_view content) {
  if (!content.empty()) text += fmt::format("<{0}>{1}</{0}>\n", name, content);
}

/// The text of a list of text blocks, as paragraphs.
Result<std::string> parse_text_blocks(const json::array& blocks, const std::string& path) {
  std::string text;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    TRY(const Fields block, Fields::of(blocks[i], fmt::format("{}.{}", path, i)));
    TRY(const std::string_view type, block.require_text("type"));
    if (type == "image") return std::unexpected(image_error(block.path()));
    if (type != "text") {
      return std::unexpected(field_error(
          block.path(), fmt::format("`{}` blocks cannot be here: only 'text' can", shown(type))));
    }
    TRY_VOID(parse_cache_control(block));
    TRY(const std::string_view part, block.require_text("text"));
    if (!text.empty() && !part.empty()) text += "\n\n";
    text += part;
  }
  return text;
}

Result<std::string> parse_base64(const Fields& source, const PdfReader& read_pdf) {
  TRY(const std::string_view media_type, source.require_text("media_type"));
  TRY(const std::string_view data, source.require_text("data"));
  const bool is_pdf = media_type == "application/pdf";
  if (media_type.starts_with("image/")) return std::unexpected(image_error(source.path()));
  if (!is_pdf && !is_text_type(media_type)) {
    return std::unexpected(
        field_error(source.path_of("media_type"),
                    fmt::format("'{}' cannot be read: PDF and text types can", shown(media_type))));
  }
  std::optional<std::string> bytes = from_base64(data);
  if (!bytes) {
    return std::unexpected(field_error(source.path_of("data"), "Input should be valid base64"));
  }
  if (is_pdf) {
    if (!read_pdf) {
      return std::unexpected(field_error(source.path(), "PDF files cannot be read here"));
    }
    auto text = read_pdf(*bytes);
    if (!text) return std::unexpected(with_context(source.path_of("data"), text.error()));
    return text;
  }
  if (!is_valid_utf8(*bytes)) {
    return std::unexpected(field_error(source.path_of("data"), "the text should be UTF-8"));
  }
  return *std::move(bytes);
}

Result<std::string> parse_source(const Fields& source, const PdfReader& read_pdf) {
  TRY(const std::string_view type, source.require_text("type"));
  if (type == "base64") return parse_base64(source, read_pdf);
  if (type == "text") {
    TRY(const std::string_view data, source.require_text("data"));
    return std::string(data);
  }
  if (type == "content") {
    TRY(const json::value* content, source.require("content"));
    if (content->is_string()) return std::string(content->get_string());
    TRY(const json::array* blocks, source.list("content", kBlocksMax));
    return parse_text_blocks(*blocks, source.path_of("content"));
  }
  if (type == "url" || type == "file") {
    return std::unexpected(field_error(
        source.path(),
        fmt::format("`{}` sources are not supported: this server fetches nothing, send the "
                    "document itself",
                    type)));
  }
  return std::unexpected(field_error(
      source.path(), fmt::format("Input tag '{}' found using 'type' does not match any of the "
                                 "expected tags: 'base64', 'text', 'content', 'url', 'file'",
                                 shown(type))));
}

}  // namespace

Error image_error(std::string_view path) {
  return field_error(path, "`image` blocks are not supported: this model cannot see images");
}

Result<std::string> parse_document(const Fields& block, const PdfReader& read_pdf) {
  TRY(const Fields source, block.require_object("source"));
  TRY(const auto title, block.text("title"));
  TRY(const auto context, block.text("context"));
  TRY(const std::string content, parse_source(source, read_pdf));
  std::string text = "<document>\n";
  append_element(text, "title", title.value_or(""));
  append_element(text, "context", context.value_or(""));
  text += fmt::format("<content>\n{}\n</content>\n</document>", content);
  return text;
}

Result<std::string> parse_search_result(const Fields& block) {
  TRY(const std::string_view source, block.require_text("source"));
  TRY(const std::string_view title, block.require_text("title"));
  TRY_VOID(block.require("content"));
  TRY(const json::array* blocks, block.list("content", kBlocksMax));
  TRY(const std::string content, parse_text_blocks(*blocks, block.path_of("content")));
  std::string text = "<search_result>\n";
  append_element(text, "source", source);
  append_element(text, "title", title);
  text += fmt::format("<content>\n{}\n</content>\n</search_result>", content);
  return text;
}

}  // namespace onnxlocal::anthropic
