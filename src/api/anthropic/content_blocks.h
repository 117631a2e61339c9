#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "api/anthropic/request.h"
#include "base/json.h"
#include "generation/event.h"

namespace onnxlocal::anthropic {

/// One change of a message's content blocks, as the Messages API streams it.
struct BlockChange {
  enum class Kind { kStart, kDelta, kStop };
  Kind kind = Kind::kStart;
  std::size_t index = 0;
  json::object body;  ///< `content_block` of a start, `delta` of a delta; empty for a stop.
};

/// Turns the events of one generation into blocks: one for each run of thinking, each run of text
/// and each call. A block opens with the first thing that it holds, so that an empty answer has
/// none. One thread.
class ContentBlocks {
 public:
  explicit ContentBlocks(const ReplyStyle& style) : style_(style) {}

  /// What an event changes; nothing where it concerns no block. The last event closes what is open.
  std::vector<BlockChange> take(const GenerationEvent& event);

 private:
  enum class Open { kNone, kText, kThinking, kToolUse };

  void take_one(const GenerationDelta& delta);
  void take_one(const ThinkingDelta& delta);
  void take_one(const ToolUseStarted& started);
  void take_one(const ToolInputDelta& delta);
  void take_one(const GenerationFinished& finished);

  void open(Open kind, json::object block);
  void close();
  void add_delta(json::object delta);

  ReplyStyle style_;
  std::vector<BlockChange> changes_;  ///< Of the event at hand.
  Open open_ = Open::kNone;
  std::size_t next_index_ = 0;
  std::string thinking_;           ///< Of the open block, for its signature.
  std::size_t counted_bytes_ = 0;  ///< Of that, told as a count.
  bool has_input_ = false;         ///< Of the open call.
};

/// What the changes add up to: the `content` of a message.
class ContentBuilder {
 public:
  void add(const std::vector<BlockChange>& changes);

  /// JSON text. A call's input is the model's own; a call whose input is no JSON object is left
  /// out.
  std::string to_json() const;

 private:
  struct Block {
    json::object start;
    std::string text;  ///< All its deltas: text, thinking, or a call's input.
    std::string signature;
  };
  std::vector<Block> blocks_;
};

}  // namespace onnxlocal::anthropic
