#pragma once

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "api/openai/reply.h"
#include "base/json.h"

namespace onnxlocal::openai {

inline const Usage kWhole{
    .input_tokens = 2, .cache_read_tokens = 8, .cache_creation_tokens = 2, .output_tokens = 3};

inline std::vector<GenerationEvent> text_events(const std::vector<std::string>& texts,
                                                StopReason reason = StopReason::kEndOfTurn) {
  std::vector<GenerationEvent> events = {GenerationStarted{}};
  for (const std::string& text : texts) {
    events.emplace_back(GenerationDelta{.text = text, .tokens = {}});
  }
  events.emplace_back(GenerationFinished{.reason = reason, .stop_string = {}, .usage = kWhole});
  return events;
}

/// Tokens are characters; "A" is chosen, "B" the other.
inline std::vector<GenerationEvent> logprob_events() {
  const TokenReport report{.chosen = {'A', -0.5F}, .alternatives = {{'A', -0.5F}, {'B', -1.0F}}};
  return {GenerationStarted{}, GenerationDelta{.text = "A", .tokens = {report}},
          GenerationFinished{.reason = StopReason::kTokensMax, .stop_string = {}, .usage = kWhole}};
}

inline ReplyOptions with_logprobs() {
  ReplyOptions options;
  options.has_logprobs = true;
  options.detokenize = [](std::span<const TokenId> tokens) {
    return std::string(1, static_cast<char>(tokens.front()));
  };
  return options;
}

inline std::string run(ResponseEncoder& encoder, const std::vector<GenerationEvent>& events) {
  std::string bytes;
  for (const GenerationEvent& event : events) bytes += encoder.encode(event);
  return bytes;
}

/// The data of each event but `[DONE]`.
inline std::vector<json::value> data_of(const std::string& stream) {
  constexpr std::string_view kData = "data: ";
  std::vector<json::value> data;
  std::istringstream lines(stream);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(kData) || line == "data: [DONE]") continue;
    auto value = json::parse(line.substr(kData.size()));
    EXPECT_TRUE(value.has_value()) << line;
    if (value) data.push_back(*std::move(value));
  }
  return data;
}

}  // namespace onnxlocal::openai
