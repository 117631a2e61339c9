#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "api/anthropic/content_blocks.h"
#include "api/anthropic/request.h"
#include "base/error.h"
#include "generation/event.h"

namespace onnxlocal::anthropic {

/// What is known of a message before its first token.
struct MessageIdentity {
  std::string id;          ///< "msg_...".
  std::string model;       ///< As the client wrote it.
  std::string request_id;  ///< For errors inside a stream.
  ReplyStyle style = {};
};

/// Turns the events of one generation into the server-sent events of the Messages API:
/// message_start, ping, content_block_start, deltas, content_block_stop, message_delta,
/// message_stop. One thread.
class StreamEncoder {
 public:
  explicit StreamEncoder(MessageIdentity identity)
      : identity_(std::move(identity)), blocks_(identity_.style) {}

  /// `message_start` ahead of the first event, for a prompt that takes long; `message_delta` has
  /// the final usage.
  std::string start_early(const Usage& usage) { return start(usage); }

  /// The bytes for one event; empty where nothing is to be sent (thinking that is not shown).
  std::string encode(const GenerationEvent& event);

  static std::string ping();

 private:
  std::string start(const Usage& usage);

  MessageIdentity identity_;
  ContentBlocks blocks_;
  bool has_started_ = false;
};

/// Gathers the events of one generation into the one JSON body of a request without `stream`. It
/// holds what a client would have put together from the stream.
class MessageBuilder {
 public:
  explicit MessageBuilder(MessageIdentity identity)
      : identity_(std::move(identity)), blocks_(identity_.style) {}

  /// Any event but the last.
  void add(const GenerationEvent& event) { content_.add(blocks_.take(event)); }
  std::string finish(const GenerationFinished& finished);

 private:
  MessageIdentity identity_;
  ContentBlocks blocks_;
  ContentBuilder content_;
};

/// `{"input_tokens":N}`.
std::string count_tokens_body(std::uint32_t tokens);

/// An `event: error`, for trouble after the status line was sent.
std::string stream_error(const Error& error, std::string_view request_id);

}  // namespace onnxlocal::anthropic
