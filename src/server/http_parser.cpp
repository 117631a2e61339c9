#include "server/http_parser.h"

#include <fmt/format.h>

#include <algorithm>

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "base/check.h"

namespace onnxlocal {

namespace http = boost::beast::http;

struct HttpParser::Beast {
  http::request_parser<http::string_body> parser;
  std::size_t body_bytes_max;
};

namespace {

HttpParseError to_parse_error(const boost::system::error_code& error, std::size_t body_bytes_max) {
  if (error == http::error::body_limit || error == http::error::buffer_overflow) {
    return {.status = 413,
            .message = fmt::format("Request exceeds the maximum size of {} bytes", body_bytes_max)};
  }
  if (error == http::error::header_limit) {
    return {.status = 431, .message = "the request's header is too large"};
  }
  return {.status = 400, .message = fmt::format("not a sound HTTP/1 request: {}", error.message())};
}

}  // namespace

HttpParser::HttpParser(const ServerLimits& limits) : beast_(std::make_unique<Beast>()) {
  beast_->parser.header_limit(static_cast<std::uint32_t>(limits.header_bytes_max));
  beast_->parser.body_limit(std::max(limits.body_bytes_max, limits.batch_bytes_max));
  beast_->body_bytes_max = limits.body_bytes_max;
}

HttpParser::~HttpParser() = default;
HttpParser::HttpParser(HttpParser&&) noexcept = default;
HttpParser& HttpParser::operator=(HttpParser&&) noexcept = default;

std::expected<std::size_t, HttpParseError> HttpParser::consume(std::string_view bytes) {
  boost::system::error_code error;
  const std::size_t taken =
      beast_->parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
  if (error && error != http::error::need_more) {
    return std::unexpected(to_parse_error(error, beast_->body_bytes_max));
  }
  // From here on header and body are not read apart.
  if (has_header()) beast_->parser.eager(true);
  return taken;
}

std::expected<void, HttpParseError> HttpParser::limit_body(std::size_t bytes_max) {
  beast_->body_bytes_max = bytes_max;
  const auto announced = beast_->parser.content_length();
  if (announced && *announced > bytes_max) {
    return std::unexpected(to_parse_error(http::error::body_limit, bytes_max));
  }
  beast_->parser.body_limit(bytes_max);
  return {};
}

bool HttpParser::has_header() const { return beast_->parser.is_header_done(); }
bool HttpParser::is_done() const { return beast_->parser.is_done(); }

bool HttpParser::expects_continue() const {
  return boost::beast::iequals(beast_->parser.get()[http::field::expect], "100-continue");
}

HttpRequest HttpParser::head() const {
  CHECK(has_header());
  HttpRequest request;
  const auto& message = beast_->parser.get();
  request.keep_alive = beast_->parser.keep_alive();
  request.is_http_1_0 = message.version() < 11;
  request.method = std::string(message.method_string());
  const std::string_view target(message.target().data(), message.target().size());
  const auto question = target.find('?');
  request.path = std::string(target.substr(0, question));
  if (question != std::string_view::npos) request.query = std::string(target.substr(question + 1));
  for (const auto& field : message) {
    request.headers.push_back(
        {.name = std::string(field.name_string()), .value = std::string(field.value())});
  }
  return request;
}

HttpRequest HttpParser::take() {
  HttpRequest request = head();
  request.body = std::move(beast_->parser.get().body());
  return request;
}

}  // namespace onnxlocal
