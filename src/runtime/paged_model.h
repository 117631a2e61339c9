#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"
#include "model/model_config.h"
#include "runtime/paged_format.h"

namespace onnx {
class ModelProto;
}

namespace onnxlocal {

/// Names of the paged graph's own inputs and its output.
inline constexpr const char* kPagesInput = "onnxlocal.pages";       ///< u8 [pages, page_bytes]
inline constexpr const char* kPagesOutput = "onnxlocal.pages_out";  ///< the same memory
inline constexpr const char* kStartsInput = "onnxlocal.sequence_starts";  ///< i32 [sequences + 1]
inline constexpr const char* kPastInput = "onnxlocal.past_lengths";       ///< i32 [sequences]
inline constexpr const char* kTableInput = "onnxlocal.page_table";  ///< i32 [sequences, pages]
inline constexpr const char* kRowsInput = "onnxlocal.logits_rows";  ///< i64 [wanted]

/// A decoder's graph in the paged form: all tokens of all sequences are rows of one sequence
/// [1, rows], and attention alone knows which belong together. input_ids (and position_ids, where
/// a rotary operator of its own reads them) keep their names; logits are [1, wanted, vocabulary].
struct PagedModel {
  std::string bytes;  ///< The serialized graph; external data stays where it was.
  PageGeometry geometry;
  std::uint32_t vocabulary_size = 0;
  bool has_position_ids = false;
  std::int32_t logits_type = 0;  ///< ONNX element type.
  std::string rope_id;           ///< What decides how keys are rotated, as a short hash.
};

/// Rewrites a graph of com.microsoft.GroupQueryAttention (float32). `folder` holds its external
/// data; `type` is that of the pages. Errors: unsupported (what stands in the way: an operator or
/// an attribute, named); model_corrupt (the tables of rotations cannot be read).
Result<PagedModel> make_paged_model(const onnx::ModelProto& model, const ModelConfig& config,
                                    const std::filesystem::path& folder,
                                    KvCacheType type = KvCacheType::kBf16);

}  // namespace onnxlocal
