#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/json.h"
#include "text/tokenizer.h"

/// Tokenizers for the tests of this folder.
namespace onnxlocal::test {

inline std::string data(const std::string& name) {
  return std::string(ONNXLOCAL_TEST_DATA) + "/" + name;
}

inline std::string read(const std::string& name) {
  return read_text_file(data(name), std::size_t{1} << 24).value();
}

/// `<|im_start|>` and `<|im_end|>` of the byte tokenizer.
inline constexpr TokenId kImStart = 257;
inline constexpr TokenId kImEnd = 258;

/// Token i in [0, 256) is byte i; 256 to 258 are special; then `added`, special or not.
inline std::shared_ptr<const Tokenizer> byte_tokenizer(const std::vector<std::string>& added = {},
                                                       bool special = true) {
  json::value tokenizer = json::parse(read("byte_tokenizer.json")).value();
  std::int64_t id = 259;
  for (const std::string& content : added) {
    tokenizer.at("added_tokens")
        .as_array()
        .push_back({{"id", id++},
                    {"content", content},
                    {"single_word", false},
                    {"lstrip", false},
                    {"rstrip", false},
                    {"normalized", false},
                    {"special", special}});
  }
  return Tokenizer::from_json(json::serialize(tokenizer)).value();
}

/// The byte tokenizer, whose post-processor puts <|im_start|> (257) before a text and <|im_end|>
/// (258) behind it.
inline std::shared_ptr<const Tokenizer> framing_tokenizer() {
  json::value tokenizer = json::parse(read("byte_tokenizer.json")).value();
  tokenizer.as_object()["post_processor"] = json::parse(R"({"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}},
               {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": "<|im_end|>", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {
      "<|im_start|>": {"id": "<|im_start|>", "ids": [257], "tokens": ["<|im_start|>"]},
      "<|im_end|>": {"id": "<|im_end|>", "ids": [258], "tokens": ["<|im_end|>"]}}})")
                                                .value();
  return Tokenizer::from_json(json::serialize(tokenizer)).value();
}

/// Each byte of `text` as the byte tokenizer's token.
inline std::vector<TokenId> bytes_of(std::string_view text) {
  std::vector<TokenId> tokens;
  for (const char byte : text) {
    tokens.push_back(static_cast<unsigned char>(byte));
  }
  return tokens;
}

}  // namespace onnxlocal::test
