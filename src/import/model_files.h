#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "import/decoder_shape.h"
#include "import/gguf_reader.h"
#include "import/gguf_tokenizer.h"
#include "import/import_gguf.h"
#include "model/manifest.h"
#include "model/model_config.h"

namespace onnxlocal {

/// A small file of a model folder, as text.
struct TextFile {
  std::string name;
  std::string text;
};

/// tokenizer.json, tokenizer_config.json, chat_template.jinja (where the file has a template) and
/// genai_config.json. Errors: those of the tokenizer; model_corrupt (more tokens than embeddings).
Result<std::vector<TextFile>> small_model_files(const GgufFile& file, const DecoderShape& shape);

/// What the manifest says of the source: quantization, parameters, licence. No files yet.
Result<Manifest> describe_gguf(const GgufFile& file, const ImportOptions& options);

}  // namespace onnxlocal
