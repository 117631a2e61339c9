#include "model/begin_token.h"

#include "model/folder_files.h"
#include "model/json_fields.h"
#include "model/limits.h"

namespace onnxlocal {

Result<std::optional<bool>> adds_bos_token(const std::filesystem::path& model_folder) {
  const auto file = model_folder / "tokenizer_config.json";
  TRY(const auto text, read_optional_file(file, kTokenizerConfigBytesMax));
  if (text.empty()) return std::nullopt;
  TRY(const auto document, parse_model_json(text, file.string()));
  return JsonFields(document.get_object(), file.string()).optional_flag("add_bos_token");
}

}  // namespace onnxlocal
