#pragma once

#include <memory>
#include <string_view>

#include "model/model_config.h"
#include "runtime/decoder.h"
#include "runtime/decoder_sizes.h"
#include "runtime/graph_inspection.h"
#include "runtime/kv_memory.h"
#include "runtime/open_session.h"
#include "runtime/runtime_options.h"

namespace onnxlocal {

/// A decoder whose past and present share buffers (com.microsoft.GroupQueryAttention).
///
/// One key and one value buffer per layer: [rows, heads, capacity, head_dim]. A slot lives in a
/// row; a batch of single tokens is the view of adjacent rows, so rows trade places when the wanted
/// ones are not (slot_rows.h). A chunk runs alone, for the stock operator takes several tokens over
/// a past for one sequence only.
///   kind: part of the layout's id, see make_kv_layout
/// Errors: unavailable (no memory for keys and values).
Result<std::unique_ptr<Decoder>> make_shared_decoder(OpenSession session, const ModelConfig& config,
                                                     const GraphInterface& graph,
                                                     const DecoderSizes& sizes,
                                                     std::string_view kind,
                                                     const ProviderOptions& provider_options);

/// The same over memory that was made already: 2 * layers buffers of KvRows::buffer_bytes.
std::unique_ptr<Decoder> make_shared_decoder_over(OpenSession session, const ModelConfig& config,
                                                  const GraphInterface& graph,
                                                  const DecoderSizes& sizes, std::string_view kind,
                                                  std::unique_ptr<KvMemory> memory);

}  // namespace onnxlocal
