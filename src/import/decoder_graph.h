#pragma once

#include "base/result.h"
#include "import/decoder_shape.h"
#include "import/graph_builder.h"
#include "import/tensor_table.h"

namespace onnxlocal {

/// Builds the decoder that the llama family shares: embedding, layers of normed attention and gated
/// feed-forward over a residual stream, final norm, output matrix. Inputs and outputs are those of
/// `GraphNames`; docs/formats/model_folder.md draws the graph. Biases are added where the file has
/// them. Errors: model_corrupt (tensors missing or of a wrong shape), unsupported.
Result<void> build_decoder(const DecoderShape& shape, TensorTable& tensors, GraphBuilder& graph);

}  // namespace onnxlocal
