#pragma once

#include <cstdint>
#include <string>

#include "api/error_reply.h"
#include "generation/event.h"

namespace onnxlocal {

/// Writes the answer to one request in the words of its wire format: as server-sent events, or as
/// one JSON body. One thread.
class ResponseEncoder {
 public:
  virtual ~ResponseEncoder() = default;

  virtual bool is_stream() const = 0;

  /// What is to be sent for the next event of the generation; often nothing. Without a stream all
  /// of the body comes with `GenerationFinished`, and `GenerationFailed` has no bytes: it becomes
  /// an `error_reply`.
  virtual std::string encode(const GenerationEvent& event) = 0;

  /// Streams: what can be said before the first event, for a prompt that takes long, with what is
  /// known of its usage. Call it once, first.
  virtual std::string start_early(const Usage& usage) = 0;
  /// Streams: bytes that break a silence and mean nothing.
  virtual std::string ping() = 0;

  /// A failure before the first byte.
  virtual ErrorReply error_reply(const Error& error) const = 0;
};

}  // namespace onnxlocal
