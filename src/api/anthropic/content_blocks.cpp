#include "api/anthropic/content_blocks.h"

#include <utility>

#include "api/anthropic/thinking_signature.h"
#include "base/json_text.h"

namespace onnxlocal::anthropic {

namespace {

/// Thinking that is not shown is counted in steps of this, at about four bytes a token.
constexpr std::size_t kCountedTokens = 32;
constexpr std::size_t kBytesPerToken = 4;

json::object direct_caller() { return {{"type", "direct"}}; }

json::object thinking_delta(std::string_view text, json::value tokens) {
  return {{"type", "thinking_delta"}, {"thinking", text}, {"estimated_tokens", std::move(tokens)}};
}

}  // namespace

std::vector<BlockChange> ContentBlocks::take(const GenerationEvent& event) {
  changes_.clear();
  std::visit(
      [this]<class Event>(const Event& alternative) {
        if constexpr (requires { take_one(alternative); }) take_one(alternative);
      },
      event);
  return std::exchange(changes_, {});
}

void ContentBlocks::open(Open kind, json::object block) {
  close();
  open_ = kind;
  changes_.push_back(
      {.kind = BlockChange::Kind::kStart, .index = next_index_++, .body = std::move(block)});
}

void ContentBlocks::add_delta(json::object delta) {
  changes_.push_back(
      {.kind = BlockChange::Kind::kDelta, .index = next_index_ - 1, .body = std::move(delta)});
}

void ContentBlocks::close() {
  if (open_ == Open::kNone) return;
  if (open_ == Open::kThinking) {
    add_delta({{"type", "signature_delta"}, {"signature", thinking_signature(thinking_)}});
    thinking_.clear();
    counted_bytes_ = 0;
  }
  // A call without arguments: clients read the joined deltas as JSON.
  if (open_ == Open::kToolUse && !has_input_) {
    add_delta({{"type", "input_json_delta"}, {"partial_json", "{}"}});
  }
  changes_.push_back({.kind = BlockChange::Kind::kStop, .index = next_index_ - 1, .body = {}});
  open_ = Open::kNone;
}

void ContentBlocks::take_one(const GenerationDelta& delta) {
  if (delta.text.empty()) return;
  if (open_ != Open::kText) {
    open(Open::kText, {{"type", "text"}, {"text", ""}, {"citations", nullptr}});
  }
  add_delta({{"type", "text_delta"}, {"text", delta.text}});
}

void ContentBlocks::take_one(const ThinkingDelta& delta) {
  if (delta.text.empty()) return;
  if (open_ != Open::kThinking) {
    open(Open::kThinking, {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
  }
  thinking_ += delta.text;
  if (style_.thinking_display == ThinkingDisplay::kShown) {
    add_delta(thinking_delta(delta.text, nullptr));
    return;
  }
  const std::size_t steps = (thinking_.size() - counted_bytes_) / (kCountedTokens * kBytesPerToken);
  if (!style_.counts_thinking || steps == 0) return;
  counted_bytes_ += steps * kCountedTokens * kBytesPerToken;
  add_delta(thinking_delta({}, steps * kCountedTokens));
}

void ContentBlocks::take_one(const ToolUseStarted& started) {
  open(Open::kToolUse, {{"type", "tool_use"},
                        {"id", started.id},
                        {"name", started.name},
                        {"input", json::object{}},
                        {"caller", direct_caller()}});
  has_input_ = false;
}

void ContentBlocks::take_one(const ToolInputDelta& delta) {
  if (open_ != Open::kToolUse || delta.json.empty()) return;
  has_input_ = true;
  add_delta({{"type", "input_json_delta"}, {"partial_json", delta.json}});
}

void ContentBlocks::take_one(const GenerationFinished& /*finished*/) { close(); }

void ContentBuilder::add(const std::vector<BlockChange>& changes) {
  for (const BlockChange& change : changes) {
    if (change.kind == BlockChange::Kind::kStart) {
      blocks_.push_back({.start = change.body, .text = {}, .signature = {}});
    }
    if (change.kind != BlockChange::Kind::kDelta) continue;
    Block& block = blocks_[change.index];
    for (const char* field : {"text", "thinking", "partial_json"}) {
      if (const auto* value = change.body.if_contains(field)) block.text += value->get_string();
    }
    if (const auto* value = change.body.if_contains("signature")) {
      block.signature = value->get_string();
    }
  }
}

std::string ContentBuilder::to_json() const {
  std::string list = "[";
  const auto append = [&list](std::string_view block) {
    if (list.size() > 1) list += ',';
    list += block;
  };
  for (const Block& block : blocks_) {
    json::object whole = block.start;
    if (whole.at("type") == "text") whole["text"] = block.text;
    if (whole.at("type") == "thinking") {
      whole["thinking"] = block.text;
      whole["signature"] = block.signature;
    }
    if (whole.at("type") != "tool_use") {
      append(json::serialize(whole));
      continue;
    }
    const auto input = json::parse(block.text);
    if (!input || !input->is_object()) continue;
    std::string call = R"({"type":"tool_use","id":)";
    call += json::serialize(whole.at("id"));
    call += R"(,"name":)";
    call += json::serialize(whole.at("name"));
    call += R"(,"input":)";
    call += json::TextView(block.text).text();
    call += R"(,"caller":)";
    call += json::serialize(whole.at("caller"));
    call += '}';
    append(call);
  }
  list += ']';
  return list;
}

}  // namespace onnxlocal::anthropic
