#include "engine/stop_matcher.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

struct Outcome {
  std::string text;
  std::string stop_string;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome run(const std::vector<std::string>& stops, const std::vector<std::string>& pieces) {
  StopMatcher matcher(stops);
  Outcome outcome;
  for (const std::string& piece : pieces) {
    auto release = matcher.push(piece);
    outcome.text += release.text;
    if (release.stop_string) {
      outcome.stop_string = *release.stop_string;
      return outcome;
    }
  }
  outcome.text += matcher.flush();
  return outcome;
}

TEST(StopMatcher, PassesTextThroughWithoutStopStrings) {
  StopMatcher matcher({});
  EXPECT_EQ(matcher.push("hello").text, "hello");
  EXPECT_EQ(matcher.flush(), "");
}

TEST(StopMatcher, FindsAStopStringInsideOnePiece) {
  EXPECT_EQ(run({"STOP"}, {"one STOP two"}), (Outcome{"one ", "STOP"}));
}

TEST(StopMatcher, FindsAStopStringThatSpansPieces) {
  EXPECT_EQ(run({"STOP"}, {"one S", "T", "OP two"}), (Outcome{"one ", "STOP"}));
}

TEST(StopMatcher, HoldsBackOnlyWhatMayBecomeAStopString) {
  StopMatcher matcher({"\n\nHuman:"});
  EXPECT_EQ(matcher.push("text\n").text, "text");
  EXPECT_EQ(matcher.push("\nHu").text, "");
  EXPECT_EQ(matcher.push("ge").text, "\n\nHuge");
  EXPECT_EQ(matcher.flush(), "");
}

TEST(StopMatcher, KeepsTheLaterStartWhenAnEarlierOneFails) {
  EXPECT_EQ(run({"aab"}, {"aaa", "b"}), (Outcome{"a", "aab"}));
  EXPECT_EQ(run({"abab"}, {"ab", "a", "cabab"}), (Outcome{"abac", "abab"}));
}

TEST(StopMatcher, FlushesWhatNeverBecameAStopString) {
  EXPECT_EQ(run({"STOP"}, {"the ST"}), (Outcome{"the ST", ""}));
}

TEST(StopMatcher, TakesTheOneThatIsCompleteFirst) {
  EXPECT_EQ(run({"abcde", "bcd"}, {"abcde"}), (Outcome{"a", "bcd"}));
  EXPECT_EQ(run({"ab", "abc"}, {"abc"}), (Outcome{"", "ab"}));
}

TEST(StopMatcher, TakesTheLongestOfThoseCompleteAtTheSameByte) {
  EXPECT_EQ(run({"c", "abc", "bc"}, {"xabc"}), (Outcome{"x", "abc"}));
}

TEST(StopMatcher, ReleasesWholeCharactersOnly) {
  StopMatcher matcher({"é!"});
  EXPECT_EQ(matcher.push("aé").text, "a");
  EXPECT_EQ(matcher.push("è").text, "éè");
}

TEST(StopMatcher, DoesNotDependOnHowTheTextWasCut) {
  std::mt19937 random(7);
  const auto letters = [&](std::size_t size) {
    std::string text;
    for (std::size_t i = 0; i < size; ++i) text += static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::string> stops;
    for (std::size_t i = 0; i <= random() % 3; ++i) stops.push_back(letters(3 + random() % 4));
    const std::string text = letters(random() % 20);
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = 1 + random() % 4;
      pieces.push_back(text.substr(at, size));
      at += size;
    }
    const Outcome whole = run(stops, {text});
    EXPECT_EQ(run(stops, pieces), whole) << "round " << round;
    for (const std::string& stop : stops) {
      EXPECT_EQ(whole.text.find(stop), std::string::npos) << "round " << round;
    }
    EXPECT_TRUE(text.starts_with(whole.text + whole.stop_string)) << "round " << round;
  }
}

}  // namespace
}  // namespace onnxlocal
