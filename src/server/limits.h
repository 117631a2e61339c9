#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace onnxlocal {

/// What one client may cost the server. Every wait has an end, and every buffer a size.
struct ServerLimits {
  std::size_t connections_max = 1024;                    ///< More wait in the kernel's backlog.
  std::size_t header_bytes_max = std::size_t{64} << 10;  ///< Over it: 431.
  std::size_t body_bytes_max = std::size_t{32} << 20;  ///< Over it: 413, as Anthropic's own limit.
  std::size_t batch_bytes_max = std::size_t{256} << 20;  ///< The same for a batch.
  /// Bytes of further requests that are read while one is being answered.
  std::size_t pipelined_bytes_max = std::size_t{256} << 10;
  std::size_t worker_queue_max = 256;  ///< Requests that wait for a worker; one more gets 529.

  std::chrono::milliseconds idle{75'000};    ///< Between two requests of a connection.
  std::chrono::milliseconds header{30'000};  ///< First to last byte of a request's header.
  std::chrono::milliseconds body{120'000};   ///< The same for its body.
  /// For a write to make room: a client that reads slower than this is cut, its sequence cancelled.
  std::chrono::milliseconds write{30'000};
  /// How long a closing connection still takes (and drops) what the client sends: a client that is
  /// cut while it sends does not read why.
  std::chrono::milliseconds linger{10'000};
  /// A stream whose first token takes longer than this sends its headers and `message_start` before
  /// it, so that clients which measure silence (300 s in Claude Code) see that it lives.
  std::chrono::milliseconds early_headers{4'000};
  /// Longest silence of a stream. Clients want to hear something every 5 s.
  std::chrono::milliseconds ping{4'000};
  std::uint32_t batch_requests_max = 4;         ///< That run at a time, and no more than slots.
  std::chrono::milliseconds batch_tick{1'000};  ///< How often batches look at the time.
  /// From a request to the end of its answer; then it is cancelled and its client told. Zero is no
  /// limit: a long answer of a slow model is no trouble.
  std::chrono::milliseconds total{0};
  /// For running requests to finish after a stop was asked for; then they are cancelled.
  std::chrono::milliseconds drain{10'000};
  /// For cancelled requests to send their last bytes.
  std::chrono::milliseconds farewell{2'000};
};

}  // namespace onnxlocal
