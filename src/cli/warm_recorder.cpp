#include "cli/warm_recorder.h"

#include <chrono>
#include <exception>
#include <functional>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "base/json.h"

namespace onnxlocal {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

constexpr std::uint64_t kRequestBytesMax = std::uint64_t{64} << 20;
constexpr std::chrono::seconds kIdle{120};

constexpr std::string_view kMessage =
    R"({"id":"msg_recorded","type":"message","role":"assistant","model":"recorder",)"
    R"("content":[{"type":"text","text":"Noted."}],"stop_reason":"end_turn","stop_sequence":null,)"
    R"("usage":{"input_tokens":1,"output_tokens":1}})";

constexpr std::string_view kStream =
    "event: message_start\n"
    R"(data: {"type":"message_start","message":{"id":"msg_recorded","type":"message",)"
    R"("role":"assistant","model":"recorder","content":[],"stop_reason":null,)"
    R"("stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}})"
    "\n\nevent: content_block_start\n"
    R"(data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})"
    "\n\nevent: content_block_delta\n"
    R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",)"
    R"("text":"Noted."}})"
    "\n\nevent: content_block_stop\n"
    R"(data: {"type":"content_block_stop","index":0})"
    "\n\nevent: message_delta\n"
    R"(data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},)"
    R"("usage":{"output_tokens":1}})"
    "\n\nevent: message_stop\n"
    R"(data: {"type":"message_stop"})"
    "\n\n";

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

bool asks_for_message(const Request& request) {
  const auto target = view(request.target());
  return request.method() == http::verb::post &&
         target.substr(0, target.find('?')) == "/v1/messages";
}

bool wants_stream(const std::string& body) {
  const auto document = json::parse(body);
  if (!document || !document->is_object()) return false;
  const json::value* stream = document->get_object().if_contains("stream");
  return stream != nullptr && stream->is_bool() && stream->get_bool();
}

/// Everything that is no message is answered with an empty object: clients look whether someone is
/// there.
Response answer_to(const Request& request) {
  Response response(http::status::ok, request.version());
  response.set(http::field::content_type, "application/json");
  response.keep_alive(request.keep_alive());
  response.body() = "{}";
  if (asks_for_message(request)) {
    const bool is_stream = wants_stream(request.body());
    if (is_stream) response.set(http::field::content_type, "text/event-stream");
    response.body() = is_stream ? kStream : kMessage;
  }
  response.prepare_payload();
  if (request.method() == http::verb::head) response.body().clear();
  return response;
}

/// One connection: reads, answers, reads on. Owned by its own pending operation.
class Conversation : public std::enable_shared_from_this<Conversation> {
 public:
  using Keep = std::function<void(const Request&)>;
  Conversation(tcp::socket socket, Keep keep)
      : stream_(std::move(socket)), keep_(std::move(keep)) {}

  void read() {
    parser_.emplace();
    parser_->body_limit(kRequestBytesMax);
    stream_.expires_after(kIdle);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](error_code error, std::size_t) {
                       if (!error) self->answer();
                     });
  }

 private:
  void answer() {
    const Request request = parser_->release();
    if (asks_for_message(request)) keep_(request);
    response_ = answer_to(request);
    http::async_write(stream_, response_,
                      [self = shared_from_this()](error_code error, std::size_t) {
                        if (!error && self->response_.keep_alive()) self->read();
                      });
  }

  beast::tcp_stream stream_;
  const Keep keep_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  Response response_;
};

}  // namespace

class RequestRecorder::Impl {
 public:
  Result<void> start() {
    error_code error;
    const tcp::endpoint any(asio::ip::address_v4::loopback(), 0);
    acceptor_.open(any.protocol(), error);
    if (!error) acceptor_.bind(any, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (!error) port_ = acceptor_.local_endpoint(error).port();
    if (error) {
      return std::unexpected(unavailable("no port of this machine is free: " + error.message()));
    }
    accept();
    thread_ = std::jthread([this] { network_.run(); });
    return {};
  }

  ~Impl() {
    network_.stop();
    if (thread_.joinable()) thread_.join();
  }

  std::uint16_t port() const { return port_; }

  std::optional<RecordedRequest> first() const {
    const std::scoped_lock lock(mutex_);
    return first_;
  }

 private:
  void accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket socket) {
      if (error) return;
      std::make_shared<Conversation>(std::move(socket), [this](const Request& request) {
        keep(request);
      })->read();
      accept();
    });
  }

  void keep(const Request& request) {
    const std::scoped_lock lock(mutex_);
    if (first_) return;
    first_ = RecordedRequest{.body = request.body(),
                             .betas = std::string(view(request["anthropic-beta"]))};
  }

  asio::io_context network_;
  tcp::acceptor acceptor_{network_};
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::optional<RecordedRequest> first_;  ///< Guarded by `mutex_`.
  std::jthread thread_;                   ///< Last: it uses the others.
};

RequestRecorder::RequestRecorder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RequestRecorder::~RequestRecorder() = default;

Result<std::unique_ptr<RequestRecorder>> RequestRecorder::start() {
  try {
    auto impl = std::make_unique<Impl>();
    TRY_VOID(impl->start());
    return std::unique_ptr<RequestRecorder>(new RequestRecorder(std::move(impl)));
  } catch (const std::exception& failure) {
    return std::unexpected(unavailable(failure.what()));
  }
}

std::uint16_t RequestRecorder::port() const { return impl_->port(); }
std::optional<RecordedRequest> RequestRecorder::first() const { return impl_->first(); }

}  // namespace onnxlocal
