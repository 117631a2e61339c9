#include "import/architectures/architecture.h"
#include "import/decoder_graph.h"

// Qwen2 and Qwen2.5: the llama family with biases on queries, keys and values, and rows in the
// order of Hugging Face. Source: Yang 2024 (arXiv:2407.10671).

namespace onnxlocal {
namespace {

Result<DecoderShape> read_shape(const GgufFile& file) { return read_decoder_shape(file, "qwen2"); }

}  // namespace

const Architecture kQwen2 = {.name = "qwen2", .read_shape = read_shape, .build = build_decoder};

}  // namespace onnxlocal
