#pragma once

#include <memory>
#include <string>

#include "model/model_config.h"
#include "runtime/decoder.h"
#include "runtime/decoder_sizes.h"
#include "runtime/open_session.h"
#include "runtime/page_pool.h"
#include "runtime/paged_model.h"

namespace onnxlocal {

/// A decoder over a paged graph (paged_model.h): any mixture of prompts and single tokens is one
/// pass over the weights, and slots share pages of keys and values by reference.
///   session: of `model`, on the provider in ep/
///   kind:    part of the layout's id: how the numbers are computed
///   pool:    pages of model.geometry.page_bytes()
/// A step costs few microseconds besides ONNX Runtime's: tensors are bound once and stay while
/// their shapes do. Errors: internal (ONNX Runtime refuses the tensors).
Result<std::unique_ptr<Decoder>> make_paged_decoder(OpenSession session, const ModelConfig& config,
                                                    const PagedModel& model,
                                                    const DecoderSizes& sizes,
                                                    const std::string& kind, PagePool pool);

}  // namespace onnxlocal
