#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "server/http_message.h"
#include "server/limits.h"

namespace onnxlocal {

/// Why a request could not be read, as the status that answers it.
struct HttpParseError {
  unsigned status = 400;
  std::string message;
};

/// Reads one HTTP/1 request from bytes that come in pieces. One thread.
class HttpParser {
 public:
  explicit HttpParser(const ServerLimits& limits);
  ~HttpParser();
  HttpParser(HttpParser&&) noexcept;
  HttpParser& operator=(HttpParser&&) noexcept;

  /// Takes what it can from the front of `bytes`, up to the end of the header or of the request,
  /// and says how much that was. What is left must be offered again: at once after the header, else
  /// with more behind it. After an error the connection is of no further use.
  std::expected<std::size_t, HttpParseError> consume(std::string_view bytes);

  /// Once, right after the header: `consume` stops there. Errors: 413, where the body is announced
  /// to be larger.
  std::expected<void, HttpParseError> limit_body(std::size_t bytes_max);

  bool has_header() const;
  bool is_done() const;
  /// True where the client waits for `100 Continue` before it sends the body.
  bool expects_continue() const;

  /// The request without its body. REQUIRES: has_header().
  HttpRequest head() const;
  /// REQUIRES: has_header(). The body is there once is_done().
  HttpRequest take();

 private:
  struct Beast;
  std::unique_ptr<Beast> beast_;
};

}  // namespace onnxlocal
