#pragma once

#include <string>

#include "base/result.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "generation/request.h"
#include "provider/provider.h"

namespace onnxlocal {

/// Talks with the user on the terminal until they leave: history, streaming, Ctrl-C stops an
/// answer. `base` has everything of a request but the messages; its system message, if any, comes
/// first.
Result<ExitCode> run_chat(Provider& provider, GenerationRequest base, std::string system,
                          Interrupts& interrupts);

}  // namespace onnxlocal
