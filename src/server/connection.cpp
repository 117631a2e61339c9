#include "server/connection.h"

#include <algorithm>
#include <array>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace onnxlocal {

namespace asio = boost::asio;

namespace {
constexpr std::size_t kReadBytes = std::size_t{16} << 10;
constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, const ServerLimits& limits)
    : socket_(std::move(socket)),
      limits_(limits),
      read_timer_(socket_.get_executor()),
      write_timer_(socket_.get_executor()) {}

void Connection::arm(asio::steady_timer& timer, Deadline deadline, std::uint64_t& operation,
                     void (Connection::*expired)()) {
  timer.expires_at(deadline.at());
  timer.async_wait([self = shared_from_this(), &operation, number = operation,
                    expired](const boost::system::error_code& error) {
    // The timer may have fired just before the operation ended.
    if (!error && operation == number) ((*self).*expired)();
  });
}

void Connection::expire_read() {
  has_read_expired_ = true;
  cancel_read();
}

void Connection::cancel_read() {
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

asio::awaitable<ReadOutcome> Connection::read(Deadline deadline) {
  const auto self = shared_from_this();
  has_read_expired_ = false;
  arm(read_timer_, deadline, read_operation_, &Connection::expire_read);
  const std::size_t size = input_.size();
  input_.resize(size + kReadBytes);
  const auto [error, count] =
      co_await socket_.async_read_some(asio::buffer(input_.data() + size, kReadBytes), kToken);
  ++read_operation_;
  read_timer_.cancel();
  input_.resize(size + count);
  if (!error) co_return ReadOutcome::kData;
  if (has_read_expired_) co_return ReadOutcome::kTimeout;
  if (error == asio::error::operation_aborted) co_return ReadOutcome::kCancelled;
  co_return ReadOutcome::kEnd;
}

asio::awaitable<bool> Connection::write(std::string_view bytes) {
  const auto self = shared_from_this();
  arm(write_timer_, Deadline::after(limits_.write), write_operation_, &Connection::close);
  const auto [error, count] =
      co_await asio::async_write(socket_, asio::buffer(bytes.data(), bytes.size()), kToken);
  ++write_operation_;
  write_timer_.cancel();
  static_cast<void>(count);
  if (error) is_gone_ = true;
  co_return !error;
}

void Connection::start_watch(std::shared_ptr<Wakeup> news) {
  news_ = std::move(news);
  is_watch_wanted_ = true;
  asio::co_spawn(socket_.get_executor(), watch(), asio::detached);
}

asio::awaitable<void> Connection::watch() {
  const auto self = shared_from_this();
  std::array<char, 4096> bytes;
  while (is_watch_wanted_ && input_.size() < limits_.pipelined_bytes_max) {
    const auto [error, count] = co_await socket_.async_read_some(asio::buffer(bytes), kToken);
    input_.append(bytes.data(), count);
    if (error) {
      if (error != asio::error::operation_aborted) is_gone_ = true;
      break;
    }
  }
  const auto news = std::exchange(news_, nullptr);
  news->notify();
}

asio::awaitable<void> Connection::stop_watch() {
  const auto news = news_;
  if (!news) co_return;
  is_watch_wanted_ = false;
  cancel_read();
  while (news_) co_await news->wait_until(Deadline());
}

asio::awaitable<void> Connection::linger(Deadline deadline) {
  const auto self = shared_from_this();
  boost::system::error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  input_.clear();
  while (socket_.is_open()) {
    const ReadOutcome outcome = co_await read(deadline);
    input_.clear();
    if (outcome != ReadOutcome::kData) break;
  }
  close();
}

void Connection::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace onnxlocal
