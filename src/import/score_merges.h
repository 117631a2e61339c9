#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "import/gguf_vocabulary.h"

namespace onnxlocal {

/// The merges, best first, that make a BPE of a SentencePiece vocabulary with scores: for each
/// token every way to put it together from two others, by falling score. Views into the vocabulary.
/// Follows transformers' `generate_merges`, but only normal, user-defined and unused tokens take
/// part: no text merges into a control or a byte token.
/// REQUIRES: as many scores as texts.
std::vector<std::pair<std::string_view, std::string_view>> merges_from_scores(
    const GgufVocabulary& vocabulary);

}  // namespace onnxlocal
