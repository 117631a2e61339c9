#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace onnxlocal {

struct HttpHeader {
  std::string name;
  std::string value;
};

/// The first header of this name (case does not matter); empty where there is none.
std::optional<std::string_view> find_header(const std::vector<HttpHeader>& headers,
                                            std::string_view name);

/// A request as it came, apart from its transfer encoding.
struct HttpRequest {
  std::string method;
  std::string path;  ///< Still percent-encoded: it is routed as it is, and decoded by who takes it.
  std::string query;  ///< What follows `?`, still encoded.
  std::vector<HttpHeader> headers;
  std::string body;
  bool keep_alive = true;
  bool is_http_1_0 = false;
};

struct HttpResponse {
  unsigned status = 200;
  std::vector<HttpHeader> headers;
  std::string body;
  std::string_view content_type = "application/json";
};

/// How the rest of a response travels.
enum class BodyFraming {
  kLength,   ///< The body is known.
  kChunked,  ///< In chunks as it comes.
  kToClose,  ///< As it comes, until the connection closes (HTTP/1.0).
};

/// Status line and header, with the blank line. Control characters in values are dropped, so that
/// no value can end a line.
std::string serialize_head(const HttpResponse& response, BodyFraming framing, bool keep_alive);

/// One chunk of a chunked body; the last chunk where `bytes` is empty.
std::string to_chunk(std::string_view bytes);

/// `%41` to `A`; what is no escape stays as it is. `+` stays too.
std::string percent_decode(std::string_view text);

/// The decoded value of a field of the query; empty where it is not there.
std::optional<std::string> query_value(std::string_view query, std::string_view name);

}  // namespace onnxlocal
