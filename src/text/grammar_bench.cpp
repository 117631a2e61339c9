// How long grammars take on a tokenizer: `grammar_bench FOLDER/tokenizer.json`.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "text/grammar.h"

namespace onnxlocal {
namespace {

constexpr std::string_view kSchema = R"({"type": "object", "additionalProperties": false,
  "properties": {"path": {"type": "string"}, "content": {"type": "string"},
  "mode": {"enum": ["read", "write"]}, "lines": {"type": "array", "items": {"type": "integer"}}},
  "required": ["path", "content", "mode", "lines"]})";
constexpr std::string_view kInput =
    R"({"path": "/src/engine/prefix_cache.cpp", "content": "The cache keeps what was computed. )"
    R"(It says why: nothing is dropped\nwithout a \"reason\", and a page is shared.", )"
    R"("mode": "write", "lines": [1, 22, 333]})";
constexpr std::string_view kProse =
    "The scheduler is a pure function of its state: it plans each step, and the engine runs it. "
    "If a < b then \"quoted\" words, (brackets), and `code` are text like any other.\n\n* one\n"
    "* two\n";

struct Case {
  const char* name;
  std::string lark;
  std::string text;
};

std::vector<Case> cases() {
  const std::string json = std::string("%json ") + std::string(kSchema);
  const std::string call = "call: \"<tool_call>\" body \"</tool_call>\"\nbody: " + json + "\n";
  const std::string called = "<tool_call>" + std::string(kInput) + "</tool_call>";
  return {
      {"free text", "start: TEXT\nTEXT: /(.|\\n)*/\n", std::string(kProse)},
      {"text without <tool_call>, then calls",
       "start: TEXT call*\nTEXT: ~/(?s:.*)<tool_call>(?s:.*)/\n" + call,
       std::string(kProse) + called},
      {"text without <, then calls", "start: TEXT call*\nTEXT: /[^<]*/\n" + call,
       "The scheduler is a pure function of its state." + called},
      {"calls alone", "start: call+\n" + call, called},
  };
}

double microseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
      .count();
}

void measure(const std::shared_ptr<const Tokenizer>& tokenizer, const Case& one) {
  auto start = std::chrono::steady_clock::now();
  const auto grammar = Grammar::from_lark(*tokenizer, one.lark);
  const double compile_us = microseconds_since(start);
  if (!grammar) {
    std::printf("%-40s %s\n", one.name, grammar.error().message.c_str());
    return;
  }
  start = std::chrono::steady_clock::now();
  GrammarMatcher matcher = (*grammar)->match().value();
  const double match_us = microseconds_since(start);
  std::vector<double> masks;
  const auto tokens = tokenizer->encode(one.text, SpecialTokens::kAsText).value();
  for (const TokenId token : tokens) {
    start = std::chrono::steady_clock::now();
    const auto mask = matcher.mask();
    masks.push_back(microseconds_since(start));
    if (!mask || !matcher.commit(token)) {
      std::printf("%-40s stops after %zu of %zu tokens\n", one.name, masks.size(), tokens.size());
      break;
    }
  }
  std::ranges::sort(masks);
  std::printf("%-40s %9.1f %8.2f %9.0f %9.0f %9.0f %8zu\n", one.name, compile_us / 1000,
              match_us / 1000, masks[masks.size() / 2], masks[masks.size() * 95 / 100],
              masks.back(), (*grammar)->size_bytes() / 1024);
}

int run(const char* file) {
  const auto tokenizer = Tokenizer::load(file);
  if (!tokenizer) {
    std::fprintf(stderr, "%s\n", tokenizer.error().message.c_str());
    return 1;
  }
  const auto start = std::chrono::steady_clock::now();
  static_cast<void>(Grammar::from_lark(**tokenizer, "start: \"x\"\n"));
  std::printf("%zu tokens; the first grammar of a tokenizer: %.0f ms\n",
              (*tokenizer)->vocabulary_size(), microseconds_since(start) / 1000);
  std::printf("%-40s %9s %8s %9s %9s %9s %8s\n", "", "compile", "match", "mask p50", "p95", "max",
              "memory");
  std::printf("%-40s %9s %8s %9s %9s %9s %8s\n", "", "ms", "ms", "us", "us", "us", "KiB");
  for (const Case& one : cases()) measure(*tokenizer, one);
  for (const Case& one : cases()) measure(*tokenizer, one);
  return 0;
}

}  // namespace
}  // namespace onnxlocal

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: grammar_bench TOKENIZER.JSON\n");
    return 2;
  }
  return onnxlocal::run(arguments[1]);
}
