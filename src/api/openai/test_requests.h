#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/json.h"
#include "base/result.h"
#include "generation/message.h"

namespace onnxlocal::openai {

/// What a test says of a request that must be refused: the complaint.
template <class Parsed>
std::string complaint(const Result<Parsed>& parsed) {
  if (parsed) return "it was accepted";
  EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidRequest);
  return parsed.error().message;
}

/// What a test says of a request that must be taken.
template <class Parsed>
Parsed accepted(Result<Parsed> parsed) {
  EXPECT_TRUE(parsed.has_value()) << (parsed ? "" : parsed.error().message);
  return parsed ? *std::move(parsed) : Parsed{};
}

inline Message message(Role role, std::string text) {
  return {.role = role, .content = {TextBlock{.text = std::move(text)}}};
}

}  // namespace onnxlocal::openai
