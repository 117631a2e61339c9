#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/interrupt.h"
#include "generation/event.h"
#include "generation/request.h"
#include "provider/provider.h"

namespace onnxlocal {

/// One answer, whole or cut short.
struct Answer {
  std::string text;
  Usage usage;
  StopReason reason = StopReason::kEndOfTurn;
  bool was_interrupted = false;  ///< By Ctrl-C: text is what came before, usage is not known.
  double first_token_s = 0;      ///< From the request to the first text.
  double total_s = 0;
  /// Tokens per second after the first one; 0 where there is none.
  double decode_tokens_per_s() const;
};

/// Asks the provider and waits. `on_text` gets the text as it comes, on this thread. Ctrl-C cancels
/// the generation and gives back what there is. Errors: those of the provider.
Result<Answer> generate_answer(Provider& provider, const GenerationRequest& request,
                               Interrupts& interrupts,
                               const std::function<void(std::string_view)>& on_text);

}  // namespace onnxlocal
