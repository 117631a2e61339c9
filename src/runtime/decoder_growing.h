#pragma once

#include <memory>
#include <string_view>

#include "model/model_config.h"
#include "runtime/decoder_shared.h"
#include "runtime/graph_inspection.h"
#include "runtime/open_session.h"

namespace onnxlocal {

/// A decoder whose present is its past with the new tokens behind it (optimum's and
/// transformers.js' exports: GPT-2 and others). Each run makes new tensors [1, heads, tokens,
/// head_dim]; steps run one after the other. Keys and values live in host memory.
std::unique_ptr<Decoder> make_growing_decoder(OpenSession session, const ModelConfig& config,
                                              const GraphInterface& graph,
                                              const DecoderSizes& sizes, std::string_view kind);

}  // namespace onnxlocal
