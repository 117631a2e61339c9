#include "import/architectures/architecture.h"
#include "import/decoder_graph.h"

// Llama, Mistral, SmolLM and others share it. Source: Touvron 2023 (arXiv:2302.13971).

namespace onnxlocal {
namespace {

Result<DecoderShape> read_shape(const GgufFile& file) {
  TRY(auto shape, read_decoder_shape(file, "llama"));
  // llama.cpp's converter reorders the rows of queries and keys for its own rotation.
  shape.query_key_rows = RowOrder::kInterleaved;
  return shape;
}

}  // namespace

const Architecture kLlama = {.name = "llama", .read_shape = read_shape, .build = build_decoder};

}  // namespace onnxlocal
