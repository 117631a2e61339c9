#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onnxlocal {

struct RawResponse {
  unsigned status = 0;  ///< 0 where the connection ended before a response.
  std::string head;     ///< Status line and header as they came.
  std::string body;     ///< Chunks joined.
  /// The header's value, by lower-case name; empty where it is not there.
  std::string header(std::string_view name) const;
};

/// A socket to a server on this machine that sends just the bytes it is told to. Every wait ends
/// after ten seconds. One thread.
class RawHttpClient {
 public:
  explicit RawHttpClient(std::uint16_t port);
  ~RawHttpClient();
  RawHttpClient(const RawHttpClient&) = delete;
  RawHttpClient& operator=(const RawHttpClient&) = delete;

  void send(std::string_view bytes);
  /// One whole response; to a HEAD request, the header alone.
  RawResponse read_response(bool has_body = true);
  /// Reads until what came (since the last response) holds `text`; all of it. Whatever came by then
  /// where the connection ends.
  std::string read_until(std::string_view text);
  /// The same until it is longer than `bytes`.
  std::string read_more_than(std::size_t bytes);
  /// True once the server has closed its side, with nothing more to read.
  bool is_closed_by_server();
  void close();
  /// Ends the connection as a process that is killed does.
  void reset();

 private:
  bool read_more();

  int socket_ = -1;
  std::string input_;
};

/// "METHOD path HTTP/1.1" with Host, and with a body where there is one.
std::string raw_request(std::string_view method, std::string_view path, std::string_view body = {},
                        const std::vector<std::string>& headers = {});

}  // namespace onnxlocal
