#include "raw_http_client.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <utility>

#include "base/check.h"

namespace onnxlocal {

namespace {

constexpr int kTimeoutSeconds = 10;

std::size_t parse_size(std::string_view text, int base) {
  std::size_t size = 0;
  std::from_chars(text.data(), text.data() + text.size(), size, base);
  return size;
}

}  // namespace

std::string RawResponse::header(std::string_view name) const {
  std::string lower(head);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto at = lower.find(fmt::format("\r\n{}: ", name));
  if (at == std::string::npos) return {};
  const auto begin = at + name.size() + 4;
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

RawHttpClient::RawHttpClient(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
  const timeval timeout{.tv_sec = kTimeoutSeconds, .tv_usec = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
}

RawHttpClient::~RawHttpClient() { close(); }

void RawHttpClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;  // The server may have closed: the response tells.
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

bool RawHttpClient::read_more() {
  std::array<char, 65536> bytes;
  const ssize_t count = ::recv(socket_, bytes.data(), bytes.size(), 0);
  if (count <= 0) return false;
  input_.append(bytes.data(), static_cast<std::size_t>(count));
  return true;
}

std::string RawHttpClient::read_until(std::string_view text) {
  while (input_.find(text) == std::string::npos) {
    if (!read_more()) break;
  }
  return input_;
}

std::string RawHttpClient::read_more_than(std::size_t bytes) {
  while (input_.size() <= bytes && read_more()) {
  }
  return input_;
}

RawResponse RawHttpClient::read_response(bool has_body) {
  RawResponse response;
  static_cast<void>(read_until("\r\n\r\n"));
  const auto end = input_.find("\r\n\r\n");
  if (end == std::string::npos) return response;
  response.head = input_.substr(0, end + 2);
  input_.erase(0, end + 4);
  response.status = static_cast<unsigned>(parse_size(response.head.substr(9, 3), 10));
  if (!has_body) return response;
  if (response.header("transfer-encoding") == "chunked") {
    while (true) {
      static_cast<void>(read_until("\r\n"));
      const auto line = input_.find("\r\n");
      if (line == std::string::npos) return response;
      const std::size_t size = parse_size(input_.substr(0, line), 16);
      while (input_.size() < line + 2 + size + 2) {
        if (!read_more()) return response;
      }
      response.body += input_.substr(line + 2, size);
      input_.erase(0, line + 2 + size + 2);
      if (size == 0) return response;
    }
  }
  const std::string length = response.header("content-length");
  if (length.empty()) {
    while (read_more()) {
    }
    response.body = std::exchange(input_, {});
    return response;
  }
  const std::size_t size = parse_size(length, 10);
  while (input_.size() < size && read_more()) {
  }
  response.body = input_.substr(0, size);
  input_.erase(0, size);
  return response;
}

bool RawHttpClient::is_closed_by_server() {
  if (!input_.empty()) return false;
  char byte = 0;
  return ::recv(socket_, &byte, 1, 0) == 0;
}

void RawHttpClient::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

void RawHttpClient::reset() {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

std::string raw_request(std::string_view method, std::string_view path, std::string_view body,
                        const std::vector<std::string>& headers) {
  std::string text = fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\n", method, path);
  for (const std::string& header : headers) text += header + "\r\n";
  if (!body.empty()) {
    text += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
  }
  return text + "\r\n" + std::string(body);
}

}  // namespace onnxlocal
