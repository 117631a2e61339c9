#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "generation/token.h"
#include "import/gguf_reader.h"

namespace onnxlocal::test {

/// The llama family in plain double precision, written from the papers and llama.cpp's conventions,
/// with nothing of the importer in it: rows are rotated in the order they have in the file.
///   returns: logits [tokens, vocabulary] after each token
std::vector<double> reference_logits(const GgufFile& file, std::span<const TokenId> tokens);

}  // namespace onnxlocal::test
