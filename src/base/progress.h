#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace onnxlocal {

/// Told how far a long step is: `done` of `total` in `what`'s own unit (bytes, tensors, tokens;
/// `total` 0 means unknown). Called on the thread that does the work, at most some times a second.
using ProgressSink =
    std::function<void(std::string_view what, std::uint64_t done, std::uint64_t total)>;

}  // namespace onnxlocal
