#include "cli/launch_http.h"

#include <exception>
#include <optional>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include <fmt/format.h>

namespace onnxlocal {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::uint64_t kAnswerBytesMax = std::uint64_t{64} << 20;
constexpr int kHttp11 = 11;

/// One connection; each step runs until it is done or the deadline has passed.
class Exchange {
 public:
  Exchange(const ServerAddress& server, Deadline deadline)
      : server_(server), deadline_(deadline), stream_(network_) {}

  Result<ServerAnswer> run(const ServerQuestion& question) {
    TRY_VOID(connect());
    TRY_VOID(write(question));
    return read();
  }

 private:
  template <class Begin>
  error_code step(Begin begin) {
    error_code outcome;
    if (deadline_.is_unreachable()) {
      stream_.expires_never();
    } else {
      stream_.expires_at(deadline_.at());
    }
    begin([&outcome](error_code error, auto&&...) { outcome = error; });
    network_.restart();
    network_.run();
    return outcome;
  }

  Error failed(const char* doing, const error_code& error) const {
    if (error == beast::error::timeout) {
      return timed_out(fmt::format("{} did not answer in time", server_.url()));
    }
    return internal_error(fmt::format("{} {}: {}", doing, server_.url(), error.message()));
  }

  Result<void> connect() {
    error_code error;
    tcp::resolver resolver(network_);
    const auto found = resolver.resolve(server_.host, std::to_string(server_.port), error);
    if (!error) error = step([&](auto done) { stream_.async_connect(found, done); });
    if (!error) return {};
    return std::unexpected(
        unavailable(fmt::format("nothing answers at {}: {}", server_.url(), error.message()),
                    "Start it: onnx-local serve"));
  }

  Result<void> write(const ServerQuestion& question) {
    http::request<http::string_body> request(http::string_to_verb(question.method), question.path,
                                             kHttp11);
    request.set(http::field::host, fmt::format("{}:{}", server_.host, server_.port));
    request.set(http::field::connection, "close");
    if (!question.body.empty()) request.set(http::field::content_type, "application/json");
    for (const auto& [name, value] : question.headers) request.set(name, value);
    request.body() = question.body;
    request.prepare_payload();
    const auto error = step([&](auto done) { http::async_write(stream_, request, done); });
    // A server that refuses early has answered before it has read everything: that answer counts.
    if (!error || error == asio::error::broken_pipe || error == asio::error::connection_reset) {
      return {};
    }
    return std::unexpected(failed("asking", error));
  }

  Result<ServerAnswer> read() {
    http::response_parser<http::string_body> parser;
    parser.body_limit(kAnswerBytesMax);
    beast::flat_buffer buffer;
    const auto error = step([&](auto done) { http::async_read(stream_, buffer, parser, done); });
    if (error) return std::unexpected(failed("reading the answer of", error));
    auto message = parser.release();
    return ServerAnswer{.status = message.result_int(), .body = std::move(message.body())};
  }

  const ServerAddress& server_;
  const Deadline deadline_;
  asio::io_context network_;
  beast::tcp_stream stream_;
};

}  // namespace

std::string ServerAddress::url() const {
  const bool is_ipv6 = host.find(':') != std::string::npos;
  return is_ipv6 ? fmt::format("http://[{}]:{}", host, port)
                 : fmt::format("http://{}:{}", host, port);
}

Result<ServerAnswer> ask_server(const ServerAddress& server, const ServerQuestion& question,
                                Deadline deadline) {
  try {
    return Exchange(server, deadline).run(question);
  } catch (const std::exception& failure) {
    return std::unexpected(internal_error(fmt::format("{}: {}", server.url(), failure.what())));
  }
}

}  // namespace onnxlocal
