#pragma once

#include <stop_token>

#include "engine/engine.h"

namespace onnxlocal {

/// Runs a first tiny generation, so that no client waits for what the runtime does once: pages of
/// the weights, buffers, kernels. Returns when it has ended, however it did, or was told to stop.
void warm_up(Engine& engine, const std::stop_token& stop);

}  // namespace onnxlocal
