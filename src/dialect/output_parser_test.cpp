// Recorded raw texts of public models (tests/data/dialects; each says where it is from) and the
// events they must come to, however they are cut.
#include "dialect/output_parser.h"

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/file_system.h"
#include "base/json.h"

namespace onnxlocal {
namespace {

struct Fixture {
  std::string template_source;
  OutputParserOptions options;
  std::string raw;
  std::string events;
};

std::string between(std::string_view text, std::string_view begin, std::string_view end) {
  const std::size_t from = text.find(begin);
  if (from == std::string_view::npos) return {};
  text.remove_prefix(from + begin.size());
  return std::string(text.substr(0, text.find(end)));
}

Fixture read_fixture(const std::filesystem::path& file) {
  const std::string text = read_text_file(file, 1 << 20).value();
  Fixture fixture;
  fixture.template_source = between(text, "template: ", "\n");
  fixture.options.begins_thinking = between(text, "\nprompt: ", "\n") == "thinking";
  std::string names = between(text, "\ntools: ", "\n") + ", ";
  for (std::size_t at = names.find(", "); at != std::string::npos; at = names.find(", ")) {
    fixture.options.tool_names.push_back(names.substr(0, at));
    names.erase(0, at + 2);
  }
  fixture.raw = between(text, "--- raw\n", "\n--- events\n");
  fixture.events = text.substr(text.find("\n--- events\n") + 12);
  return fixture;
}

std::shared_ptr<const Dialect> dialect_for(std::string_view source) {
  const auto has_token = [source](std::string_view token) { return source.contains(token); };
  return std::make_shared<const Dialect>(detect_dialect(source, has_token));
}

/// One line per thinking, text and call, with what belongs together joined.
std::string describe(const std::vector<ParsedEvent>& events) {
  std::string lines;
  std::string open;
  const char* kind = "";
  const auto flush = [&] {
    if (*kind != '\0') lines += fmt::format("{} {}\n", kind, json::serialize(json::value(open)));
    open.clear();
    kind = "";
  };
  for (const ParsedEvent& event : events) {
    const auto* text = std::get_if<ParsedText>(&event);
    const auto* thinking = std::get_if<ParsedThinking>(&event);
    const char* now = text != nullptr ? "text" : thinking != nullptr ? "thinking" : "";
    if (std::string_view(now) != kind) flush();
    kind = now;
    if (text != nullptr) open += text->text;
    if (thinking != nullptr) open += thinking->text;
    if (const auto* call = std::get_if<ParsedCall>(&event)) lines += "call " + call->name + " ";
    if (const auto* input = std::get_if<ParsedInput>(&event)) lines += input->json;
    if (const auto* end = std::get_if<ParsedCallEnd>(&event)) {
      lines += end->is_whole ? "\n" : " closed\n";
    }
  }
  flush();
  return lines;
}

/// Cut behind each byte that `cuts` says, and at the end.
template <class Cuts>
std::string parse(const std::shared_ptr<const Dialect>& dialect, const OutputParserOptions& options,
                  std::string_view raw, Cuts cuts) {
  OutputParser parser(dialect, options);
  std::vector<ParsedEvent> events;
  std::size_t begin = 0;
  for (std::size_t end = 1; end < raw.size(); ++end) {
    if (!cuts()) continue;
    parser.push(raw.substr(begin, end - begin), events);
    begin = end;
  }
  parser.push(raw.substr(begin), events);
  parser.finish(events);
  return describe(events);
}

std::vector<std::filesystem::path> fixtures() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(ONNXLOCAL_TEST_DATA "/dialects")) {
    files.push_back(entry.path());
  }
  return files;
}

TEST(OutputParser, ReadsWhatPublicModelsWrite) {
  ASSERT_GE(fixtures().size(), 20U);
  for (const auto& file : fixtures()) {
    const Fixture fixture = read_fixture(file);
    const auto dialect = dialect_for(fixture.template_source);
    EXPECT_EQ(parse(dialect, fixture.options, fixture.raw, [] { return false; }), fixture.events)
        << file;
  }
}

TEST(OutputParser, GivesTheSameEventsHoweverTheTextIsCut) {
  for (const auto& file : fixtures()) {
    const Fixture fixture = read_fixture(file);
    const auto dialect = dialect_for(fixture.template_source);
    EXPECT_EQ(parse(dialect, fixture.options, fixture.raw, [] { return true; }), fixture.events)
        << file;
    std::mt19937 random(7);
    for (int round = 0; round < 20; ++round) {
      EXPECT_EQ(parse(dialect, fixture.options, fixture.raw, [&] { return random() % 5 == 0; }),
                fixture.events)
          << file << " round " << round;
    }
  }
}

TEST(OutputParser, NeverShowsPartOfAMarkNorBrokenInputWhereverTheTextEnds) {
  for (const auto& file : fixtures()) {
    const Fixture fixture = read_fixture(file);
    const auto dialect = dialect_for(fixture.template_source);
    if (dialect->calls.may_be_bare || file.stem() == "default_no_call") continue;
    for (std::size_t size = 0; size < fixture.raw.size(); ++size) {
      OutputParser parser(dialect, fixture.options);
      std::vector<ParsedEvent> events;
      parser.push(std::string_view(fixture.raw).substr(0, size), events);
      for (const ParsedEvent& event : events) {
        const auto* text = std::get_if<ParsedText>(&event);
        if (text == nullptr) continue;
        for (const std::string& mark : dialect->calls.open_marks) {
          EXPECT_FALSE(text->text.ends_with(mark.substr(0, 3))) << file << " at " << size;
        }
      }
      parser.finish(events);
      std::string input;
      for (const ParsedEvent& event : events) {
        if (const auto* part = std::get_if<ParsedInput>(&event)) input += part->json;
        if (!std::holds_alternative<ParsedCallEnd>(event)) continue;
        EXPECT_TRUE(json::parse(input)) << file << " at " << size << ": " << input;
        input.clear();
      }
    }
  }
}

TEST(OutputParser, StreamsStringsOfAnInputAsTheyCome) {
  OutputParser parser(dialect_for({}), {});
  std::vector<ParsedEvent> events;
  parser.push("<tool_call>\n{\"name\": \"write\", \"arguments\": {\"text\": \"Once upon", events);
  EXPECT_EQ(describe(events), R"(call write {"text": "Once upon)");
}

TEST(OutputParser, LeavesOutACallWhoseNameWasCutOff) {
  OutputParser parser(dialect_for({}), {});
  std::vector<ParsedEvent> events;
  parser.push("Wait. <tool_call>\n{\"name\": \"wri", events);
  parser.finish(events);
  EXPECT_EQ(describe(events), "text \"Wait.\"\n");
}

TEST(OutputParser, TakesCallsForTextWhereThereAreNoTools) {
  OutputParserOptions options;
  options.reads_calls = false;
  const std::string raw = "<tool_call>\n{}\n</tool_call>\n";
  EXPECT_EQ(parse(dialect_for({}), options, raw, [] { return true; }),
            "text \"<tool_call>\\n{}\\n</tool_call>\\n\"\n");
}

TEST(OutputParser, KeepsPlainTextToTheByte) {
  const std::string raw = "\n  a <b> \n\n";
  EXPECT_EQ(parse(dialect_for({}), {}, raw, [] { return true; }), "text \"\\n  a <b> \\n\\n\"\n");
}

}  // namespace
}  // namespace onnxlocal
