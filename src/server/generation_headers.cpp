#include "server/generation_headers.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

namespace onnxlocal {

namespace {

constexpr std::string_view kCacheHeader = "x-onnx-local-cache";
constexpr std::size_t kValueBytesMax = 400;
constexpr std::size_t kWarningsMax = 8;

/// Clients read ASCII; quotes would end the value.
std::string to_header_text(std::string_view text) {
  std::string plain(text.substr(0, kValueBytesMax));
  std::ranges::replace_if(plain, [](char c) { return c < 0x20 || c >= 0x7F; }, '?');
  std::ranges::replace(plain, '"', '\'');
  std::ranges::replace(plain, '\\', '/');
  return plain;
}

}  // namespace

void add_headers_of(const GenerationEvent& event, std::vector<HttpHeader>& headers) {
  if (const auto* started = std::get_if<GenerationStarted>(&event)) {
    // Of several answers, the first one's.
    if (std::ranges::find(headers, kCacheHeader, &HttpHeader::name) != headers.end()) return;
    const CacheReport& cache = started->cache;
    // Where the engine reports no cache, usage still tells what was read.
    std::string value = fmt::format("read={} prompt={}", started->usage.cache_read_tokens,
                                    started->usage.prompt_tokens());
    if (!cache.reason.empty())
      value += fmt::format("; reason=\"{}\"", to_header_text(cache.reason));
    headers.push_back({std::string(kCacheHeader), std::move(value)});
  } else if (const auto* finished = std::get_if<GenerationFinished>(&event)) {
    const std::size_t count = std::min(finished->warnings.size(), kWarningsMax);
    for (std::size_t i = 0; i < count; ++i) {
      headers.push_back({"x-onnx-local-warning", to_header_text(finished->warnings[i])});
    }
  }
}

}  // namespace onnxlocal
