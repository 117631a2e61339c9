#pragma once

#include <cstdint>
#include <string>

namespace onnxlocal {

/// What `serve` prints once it listens: the address, and lines to copy.
struct ServeBanner {
  std::string url;    ///< "http://127.0.0.1:3001"
  std::string model;  ///< Its name; empty where there is none.
  std::uint32_t context_tokens = 0;
  bool has_keys = false;  ///< Only they open the server; the lines then have KEY for one.
};

/// Output tokens that Claude Code should ask for with this context window: it refuses to begin when
/// they leave no room for a prompt.
std::uint32_t claude_output_tokens(std::uint32_t context_tokens);

std::string to_text(const ServeBanner& banner);

}  // namespace onnxlocal
