#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "generation/event.h"

namespace onnxlocal::anthropic {

/// What is known of a message before its first token.
struct MessageIdentity {
  std::string id;          ///< "msg_...".
  std::string model;       ///< As the client wrote it.
  std::string request_id;  ///< For errors inside a stream.
};

/// Turns the events of one generation into the server-sent events of the Messages API:
/// message_start, ping, content_block_start, deltas, content_block_stop, message_delta,
/// message_stop. A text block is opened by the first text, so that an empty answer has no blocks.
/// One thread.
class StreamEncoder {
 public:
  explicit StreamEncoder(MessageIdentity identity) : identity_(std::move(identity)) {}

  /// `message_start` ahead of the first event, for a prompt that takes long: all of the prompt
  /// counts as input until `message_delta` tells what came from the cache.
  std::string start_early(std::uint32_t prompt_tokens);

  /// The bytes for one event; empty where nothing is to be sent.
  std::string encode(const GenerationEvent& event);

  bool has_started() const { return has_started_; }

  static std::string ping();

 private:
  std::string encode_one(const GenerationStarted& started);
  std::string encode_one(const GenerationDelta& delta);
  std::string encode_one(const GenerationFinished& finished);
  std::string encode_one(const GenerationFailed& failed);

  MessageIdentity identity_;
  bool has_started_ = false;
  bool has_block_ = false;
};

/// Gathers the events of one generation into the one JSON body of a request without `stream`.
class MessageBuilder {
 public:
  explicit MessageBuilder(MessageIdentity identity) : identity_(std::move(identity)) {}

  void add(const GenerationDelta& delta) { text_ += delta.text; }
  std::string finish(const GenerationFinished& finished) const;

 private:
  MessageIdentity identity_;
  std::string text_;
};

/// `{"input_tokens":N}`.
std::string count_tokens_body(std::uint32_t tokens);

/// An `event: error`, for trouble after the status line was sent.
std::string stream_error(const Error& error, std::string_view request_id);

}  // namespace onnxlocal::anthropic
