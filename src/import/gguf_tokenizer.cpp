#include "import/gguf_tokenizer.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/json.h"
#include "base/utf8.h"
#include "import/gguf_vocabulary.h"
#include "import/pre_tokenizers.h"
#include "import/score_merges.h"

namespace onnxlocal {

namespace {

// U+2581, SentencePiece's space.
constexpr std::string_view kSpaceMark = "\xe2\x96\x81";

bool is_special(TokenKind kind) {
  return kind == TokenKind::kControl || kind == TokenKind::kUnknown;
}

/// Phi-3's special tokens swallow the white space after them; the file does not say so, and
/// llama.cpp knows it by the model's name.
bool strips_right_of_special(const GgufFile& file) {
  std::string name(file.get_or<std::string_view>("general.name", "").value_or(""));
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return name.find("phi-3") != std::string::npos || name.find("phi3") != std::string::npos;
}

json::array added_tokens(const GgufFile& file, const GgufVocabulary& vocabulary) {
  const bool is_phi3 = strips_right_of_special(file);
  json::array added;
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    const TokenKind kind = vocabulary.kinds[id];
    if (!is_special(kind) && kind != TokenKind::kUserDefined) continue;
    const std::string_view text = vocabulary.texts[id];
    const bool keeps_right = text == "<unk>" || text == "<s>" || text == "<|endoftext|>";
    // "normalized": found in the text as the client wrote it, before anything is replaced.
    added.push_back(json::object{{"id", id},
                                 {"content", text},
                                 {"single_word", false},
                                 {"lstrip", false},
                                 {"rstrip", is_phi3 && !keeps_right},
                                 {"normalized", false},
                                 {"special", is_special(kind)}});
  }
  return added;
}

json::object vocabulary_object(const GgufVocabulary& vocabulary) {
  json::object object;
  object.reserve(vocabulary.size());
  for (std::size_t id = 0; id < vocabulary.size(); ++id) object.emplace(vocabulary.texts[id], id);
  return object;
}

json::object bpe_model(const GgufVocabulary& vocabulary, json::array merges) {
  return json::object{{"type", "BPE"},
                      {"dropout", nullptr},
                      {"unk_token", nullptr},
                      {"continuing_subword_prefix", nullptr},
                      {"end_of_word_suffix", nullptr},
                      {"fuse_unk", false},
                      {"byte_fallback", false},
                      {"ignore_merges", false},
                      {"vocab", vocabulary_object(vocabulary)},
                      {"merges", std::move(merges)}};
}

json::object tokenizer_object(json::array added, json::value normalizer, json::value pre_tokenizer,
                              json::value decoder, json::object model) {
  return json::object{{"version", "1.0"},
                      {"truncation", nullptr},
                      {"padding", nullptr},
                      {"added_tokens", std::move(added)},
                      {"normalizer", std::move(normalizer)},
                      {"pre_tokenizer", std::move(pre_tokenizer)},
                      {"post_processor", nullptr},
                      {"decoder", std::move(decoder)},
                      {"model", std::move(model)}};
}

json::object byte_level() {
  return json::object{{"type", "ByteLevel"},
                      {"add_prefix_space", false},
                      {"trim_offsets", true},
                      {"use_regex", false}};
}

/// How a byte-level vocabulary writes an ASCII character: a printable one as itself, the 33 up to
/// the space as U+0100 to U+0120, DEL as U+0121.
std::string byte_level_ascii(unsigned character) {
  if (character > 0x20 && character < 0x7f) return {static_cast<char>(character)};
  const unsigned code_point = character == 0x7f ? 0x121 : 0x100 + character;
  return {static_cast<char>(0xc0U | code_point >> 6),
          static_cast<char>(0x80U | (code_point & 0x3fU))};
}

/// A character class of the ASCII characters that are no token; empty where all are. (SmolLM2 lacks
/// six control characters. Vocabularies lack other bytes too, but only those of no assigned
/// character.)
std::string missing_characters_pattern(const GgufVocabulary& vocabulary) {
  std::string missing;
  for (unsigned character = 0; character < 0x80; ++character) {
    if (vocabulary.find(byte_level_ascii(character))) continue;
    missing += fmt::format("\\x{:02x}", character);
  }
  return missing.empty() ? missing : "[" + missing + "]";
}

json::object split_step(std::string_view pattern) {
  return json::object{{"type", "Split"},
                      {"pattern", json::object{{"Regex", pattern}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
}

json::object pre_tokenizer_object(const PreTokenizer& pre_tokenizer,
                                  const GgufVocabulary& vocabulary) {
  json::array steps;
  for (const std::string_view pattern : pre_tokenizer.patterns) {
    steps.push_back(split_step(pattern));
  }
  // A character without a token is dropped, and what stands before it never merges with what
  // follows: alone in its piece, since the tokenizers library would drop it and then merge across.
  if (const std::string missing = missing_characters_pattern(vocabulary); !missing.empty()) {
    steps.push_back(split_step(missing));
  }
  steps.push_back(byte_level());
  return json::object{{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

/// The file's merges, each "left right". One that leads out of the vocabulary can never give a
/// token and is left out: the tokenizers library would refuse the whole file for it.
Result<json::array> file_merges(const GgufFile& file, const GgufVocabulary& vocabulary) {
  TRY(const auto merges, file.get<std::vector<std::string_view>>("tokenizer.ggml.merges"));
  json::array pairs;
  pairs.reserve(merges.size());
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const std::string_view merge = merges[i];
    // From 1 on: the left part is never empty, it may be a space itself.
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == merge.size()) {
      return std::unexpected(model_corrupt(
          fmt::format(
              "tokenizer.ggml.merges[{}]: expected two parts with a space between, found {} "
              "bytes without",
              i, merge.size()),
          "convert the model again with a current converter"));
    }
    const std::string_view left = merge.substr(0, space);
    const std::string_view right = merge.substr(space + 1);
    const bool is_known = vocabulary.find(left) && vocabulary.find(right) &&
                          vocabulary.find(std::string(left) + std::string(right));
    if (is_known) pairs.push_back(json::array{left, right});
  }
  return pairs;
}

/// Byte-level BPE, llama.cpp's tokenizer model "gpt2".
Result<json::object> byte_level_tokenizer(const GgufFile& file, const GgufVocabulary& vocabulary) {
  TRY(const auto name, file.get_or<std::string_view>("tokenizer.ggml.pre", ""));
  TRY(const PreTokenizer pre_tokenizer, find_pre_tokenizer(name));
  TRY(json::array merges, file_merges(file, vocabulary));
  json::object model = bpe_model(vocabulary, std::move(merges));
  model["ignore_merges"] = pre_tokenizer.ignores_merges;
  return tokenizer_object(added_tokens(file, vocabulary), nullptr,
                          pre_tokenizer_object(pre_tokenizer, vocabulary), byte_level(),
                          std::move(model));
}

json::object replace_step(std::string_view from, std::string_view to) {
  return json::object{
      {"type", "Replace"}, {"pattern", json::object{{"String", from}}}, {"content", to}};
}

/// SentencePiece BPE with scores, llama.cpp's tokenizer model "llama". A space goes in front of
/// each piece of text between special tokens, as llama.cpp does.
Result<json::object> sentence_piece_tokenizer(const GgufFile& file,
                                              const GgufVocabulary& vocabulary) {
  if (vocabulary.scores.empty()) {
    return std::unexpected(model_corrupt("GGUF metadata has no key 'tokenizer.ggml.scores'",
                                         "convert the model again with a current converter"));
  }
  TRY(const bool adds_space, file.get_or<bool>("tokenizer.ggml.add_space_prefix", true));
  json::array merges;
  for (const auto& [left, right] : merges_from_scores(vocabulary)) {
    merges.push_back(json::array{left, right});
  }
  json::object model = bpe_model(vocabulary, std::move(merges));
  model["byte_fallback"] = true;
  model["fuse_unk"] = true;
  const auto unknown = std::ranges::find(vocabulary.kinds, TokenKind::kUnknown);
  if (unknown != vocabulary.kinds.end()) {
    model["unk_token"] =
        vocabulary.texts[static_cast<std::size_t>(unknown - vocabulary.kinds.begin())];
  }
  json::array normalizers;
  json::array decoders{replace_step(kSpaceMark, " "), json::object{{"type", "ByteFallback"}},
                       json::object{{"type", "Fuse"}}};
  if (adds_space) {
    normalizers.push_back(json::object{{"type", "Prepend"}, {"prepend", kSpaceMark}});
    decoders.push_back(
        json::object{{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  normalizers.push_back(replace_step(" ", kSpaceMark));
  return tokenizer_object(
      added_tokens(file, vocabulary),
      json::object{{"type", "Sequence"}, {"normalizers", std::move(normalizers)}}, nullptr,
      json::object{{"type", "Sequence"}, {"decoders", std::move(decoders)}}, std::move(model));
}

Result<json::object> make_tokenizer(const GgufFile& file) {
  TRY(const auto model, file.get<std::string_view>("tokenizer.ggml.model"));
  if (model != "gpt2" && model != "llama") {
    return std::unexpected(unsupported(
        fmt::format("tokenizer model '{}' (tokenizer.ggml.model): expected gpt2 or llama",
                    model.substr(0, 64)),
        "use a model with one of these"));
  }
  TRY(const GgufVocabulary vocabulary, read_gguf_vocabulary(file));
  return model == "gpt2" ? byte_level_tokenizer(file, vocabulary)
                         : sentence_piece_tokenizer(file, vocabulary);
}

}  // namespace

Result<std::string> tokenizer_json_from_gguf(const GgufFile& file) {
  TRY(const json::object tokenizer, make_tokenizer(file));
  return json::serialize(tokenizer);
}

}  // namespace onnxlocal
