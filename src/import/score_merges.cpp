#include "import/score_merges.h"

#include <algorithm>
#include <cstddef>
#include <tuple>

#include "base/check.h"

namespace onnxlocal {

namespace {

struct Merge {
  std::string_view left;
  std::string_view right;
  std::size_t token;  ///< What they make.
  TokenId left_id;
  TokenId right_id;
  float score;
};

bool takes_part(TokenKind kind) {
  return kind == TokenKind::kNormal || kind == TokenKind::kUserDefined ||
         kind == TokenKind::kUnused || kind == TokenKind::kUndefined;
}

std::size_t character_count(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

/// Among merges of one score transformers puts the longer left part first, then the longer right
/// one, then the lower ids.
bool comes_before(const Merge& a, const Merge& b) {
  if (a.score != b.score) return a.score > b.score;
  const auto lengths = [](const Merge& m) {
    return std::tuple(character_count(m.left), character_count(m.right));
  };
  if (lengths(a) != lengths(b)) return lengths(a) > lengths(b);
  return std::tie(a.token, a.left_id, a.right_id) < std::tie(b.token, b.left_id, b.right_id);
}

void append_splits(const GgufVocabulary& vocabulary, std::size_t token,
                   std::vector<Merge>& merges) {
  const std::string_view text = vocabulary.texts[token];
  for (std::size_t cut = 1; cut < text.size(); ++cut) {
    if ((text[cut] & 0xc0) == 0x80) continue;  // inside a character
    const auto left = vocabulary.find(text.substr(0, cut));
    if (!left || !takes_part(vocabulary.kinds[static_cast<std::size_t>(*left)])) continue;
    const auto right = vocabulary.find(text.substr(cut));
    if (!right || !takes_part(vocabulary.kinds[static_cast<std::size_t>(*right)])) continue;
    merges.push_back({.left = text.substr(0, cut),
                      .right = text.substr(cut),
                      .token = token,
                      .left_id = *left,
                      .right_id = *right,
                      .score = vocabulary.scores[token]});
  }
}

}  // namespace

std::vector<std::pair<std::string_view, std::string_view>> merges_from_scores(
    const GgufVocabulary& vocabulary) {
  CHECK(vocabulary.scores.size() == vocabulary.size());
  std::vector<Merge> merges;
  for (std::size_t token = 0; token < vocabulary.size(); ++token) {
    if (takes_part(vocabulary.kinds[token])) append_splits(vocabulary, token, merges);
  }
  std::ranges::sort(merges, comes_before);
  std::vector<std::pair<std::string_view, std::string_view>> pairs;
  pairs.reserve(merges.size());
  for (const Merge& merge : merges) pairs.emplace_back(merge.left, merge.right);
  return pairs;
}

}  // namespace onnxlocal
