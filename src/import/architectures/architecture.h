#pragma once

#include <span>
#include <string_view>

#include "base/result.h"
#include "import/decoder_shape.h"
#include "import/gguf_reader.h"
#include "import/graph_builder.h"
#include "import/tensor_table.h"

namespace onnxlocal {

/// What there is to know of one model family. A new one is one file with one such constant, and a
/// line in registry.cpp.
struct Architecture {
  std::string_view name;  ///< `general.architecture` in GGUF.
  Result<DecoderShape> (*read_shape)(const GgufFile& file);
  Result<void> (*build)(const DecoderShape& shape, TensorTable& tensors, GraphBuilder& graph);
};

extern const Architecture kLlama;
extern const Architecture kQwen2;

/// Errors: unsupported (names it, and those we have).
Result<const Architecture*> find_architecture(std::string_view name);

}  // namespace onnxlocal
