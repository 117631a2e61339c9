// The promise of request.h, on random conversations with tools: however a conversation's JSON is
// written, the same messages come out; and more messages leave those before them as they were.
// Method: a conversation is made from a seed, then written twice with other random spellings.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "api/anthropic/test_requests.h"

namespace onnxlocal::anthropic {
namespace {

using Random = std::mt19937_64;

bool coin(Random& random, unsigned in = 2) { return random() % in == 0; }

struct Part {
  enum class Kind { kText, kThinking, kUse, kResult };
  Kind kind = Kind::kText;
  std::string text;  ///< Or a call's id.
};
struct Said {
  std::string role;
  std::vector<Part> parts;
};

std::string word(Random& random) { return fmt::format("w{}é", random() % 1000); }

/// Rounds of a question, calls with their results, and an answer.
std::vector<Said> make_conversation(Random& random) {
  std::vector<Said> all;
  unsigned calls = 0;
  for (std::uint64_t round = 1 + random() % 3; round > 0; --round) {
    all.push_back({"user", {{Part::Kind::kText, word(random)}}});
    if (coin(random)) all.push_back({"system", {{Part::Kind::kText, word(random)}}});
    while (coin(random)) {
      Said asks{"assistant", {}};
      Said answers{"user", {}};
      if (coin(random)) asks.parts.push_back({Part::Kind::kThinking, word(random)});
      if (coin(random)) asks.parts.push_back({Part::Kind::kText, word(random)});
      for (std::uint64_t i = 1 + random() % 2; i > 0; --i) {
        const std::string id = fmt::format("toolu_{}", calls++);
        asks.parts.push_back({Part::Kind::kUse, id});
        answers.parts.push_back({Part::Kind::kResult, id});
      }
      if (coin(random)) answers.parts.push_back({Part::Kind::kText, word(random)});
      all.push_back(asks);
      all.push_back(answers);
    }
    all.push_back({"assistant", {{Part::Kind::kText, word(random)}}});
  }
  all.pop_back();
  return all;
}

/// Writes JSON with all the freedom that clients have.
class Speller {
 public:
  explicit Speller(std::uint64_t seed) : random_(seed) {}

  std::string request(const std::vector<Said>& all) {
    std::string list;
    for (const Said& said : all) {
      if (!list.empty()) list += ',';
      list += message(said);
    }
    return fmt::format(R"({{"model":"m","max_tokens":9,"metadata":{{"user_id":"u"}},)"
                       R"("system":{},"messages":[{}]}})",
                       system(), list);
  }

 private:
  std::string space() { return coin(random_) ? " \n" : ""; }

  std::string system() {
    if (coin(random_)) return R"("S")";
    const std::string billing =
        fmt::format(R"({{"type":"text","text":"x-anthropic-billing-header: v={};"}},)", random_());
    return fmt::format("[{}{}]", coin(random_) ? billing : std::string(), text_block("S"));
  }

  std::string control() {
    if (controls_ == 4 || !coin(random_, 4)) return {};
    ++controls_;
    return R"(,"cache_control":{"type":"ephemeral"})";
  }

  std::string text_block(const std::string& text) {
    return fmt::format(R"({{"type":"text","text":"{}"{}{}}})", text,
                       coin(random_) ? R"(,"citations":null)" : "", control());
  }

  /// As a string where it may be one.
  std::string content(const std::string& text) {
    return coin(random_) ? fmt::format("\"{}\"", text) : fmt::format("[{}]", text_block(text));
  }

  std::string part(const Part& part) {
    switch (part.kind) {
      case Part::Kind::kText: return text_block(part.text);
      case Part::Kind::kThinking:
        return fmt::format(R"({{"type":"thinking","thinking":"{}","signature":"abc"}})", part.text);
      case Part::Kind::kUse:
        return fmt::format(
            R"({{"type":"tool_use","id":"{}","name":"look","input":{{"b":{}1.0,{}"a":"{}"}}{}{}}})",
            part.text, space(), space(), coin(random_) ? "\\u00e9/" : "é\\/",
            coin(random_) ? R"(,"caller":{"type":"direct"})" : "", control());
      case Part::Kind::kResult: break;
    }
    return fmt::format(R"({{"tool_use_id":"{}","type":"tool_result","content":{}{}{}}})", part.text,
                       content(fmt::format("r{}", part.text)),
                       coin(random_) ? R"(,"is_error":false)" : "", control());
  }

  std::string message(const Said& said) {
    const std::string head = fmt::format(R"({{"role":"{}","content":)", said.role);
    if (said.parts.size() == 1 && said.parts[0].kind == Part::Kind::kText && coin(random_)) {
      return head + fmt::format("\"{}\"}}", said.parts[0].text);
    }
    std::string blocks;
    for (const Part& each : said.parts) {
      if (!blocks.empty()) blocks += fmt::format(",{}", space());
      blocks += part(each);
    }
    return head + fmt::format("[{}]}}", blocks);
  }

  Random random_;
  int controls_ = 0;
};

TEST(Canonical, FormIsTheSameHoweverTheJsonIsWritten) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    const auto conversation = make_conversation(random);
    const GenerationRequest one = parse(Speller(random()).request(conversation)).generation;
    const GenerationRequest other = parse(Speller(random()).request(conversation)).generation;
    ASSERT_EQ(one.messages, other.messages) << "seed " << seed;
    ASSERT_FALSE(one.messages.empty());
  }
}

TEST(Canonical, FormOfEarlierMessagesStays) {
  std::size_t compared = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Random random(seed);
    const auto whole = make_conversation(random);
    const auto messages = parse(Speller(random()).request(whole)).generation.messages;
    for (std::size_t turns = 1; turns < whole.size(); ++turns) {
      // What was a request: the model's turn was next.
      if (whole[turns].role != "assistant") continue;
      const std::vector<Said> part(whole.begin(), whole.begin() + static_cast<long>(turns));
      const auto earlier = parse(Speller(random()).request(part)).generation.messages;
      ASSERT_LE(earlier.size(), messages.size());
      ASSERT_TRUE(std::equal(earlier.begin(), earlier.end(), messages.begin()))
          << "seed " << seed << ", the first " << turns << " messages";
      ++compared;
    }
  }
  EXPECT_GT(compared, 300U);
}

TEST(Canonical, RolesAlternateAfterTheSystemMessage) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Random random(seed);
    const auto messages =
        parse(Speller(seed).request(make_conversation(random))).generation.messages;
    EXPECT_EQ(messages.at(0).role, Role::kSystem);
    for (std::size_t i = 1; i < messages.size(); ++i) {
      EXPECT_EQ(messages[i].role, i % 2 == 1 ? Role::kUser : Role::kAssistant);
    }
  }
}

}  // namespace
}  // namespace onnxlocal::anthropic
