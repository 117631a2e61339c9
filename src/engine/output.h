#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/stop_matcher.h"
#include "generation/event.h"
#include "text/tokenizer.h"

namespace onnxlocal {

/// From a generation's tokens to what may be shown of them: whole characters, no part of a stop
/// string, each token's report with the text it became. One thread.
class Output {
 public:
  /// `tokenizer` may be null: then reports pass straight through and text stays empty. The spelling
  /// of special tokens among `visible_tokens` is text like any other; the others have none.
  Output(const Tokenizer* tokenizer, std::vector<std::string> stop_strings,
         std::vector<TokenId> visible_tokens = {});

  struct Release {
    GenerationDelta delta;                   ///< May be empty.
    std::optional<std::string> stop_string;  ///< Found: the generation ends here.
    bool is_empty() const { return delta.text.empty() && delta.tokens.empty(); }
  };
  Result<Release> push(TokenReport report);
  /// The generation ended: lets go of what was held back. A stop string can still be found, in
  /// characters that the end made whole. Call once, last.
  Result<Release> finish();

 private:
  /// A report whose text is not out yet.
  struct Held {
    TokenReport report;
    std::size_t text_begin = 0;  ///< Bytes of all text before this token's.
    std::size_t text_end = 0;
  };
  Result<std::string> text_of(TokenId token);
  Release release(StopMatcher::Release text, bool is_last);

  std::optional<TokenStream> stream_;
  std::vector<TokenId> visible_tokens_;
  StopMatcher matcher_;
  std::deque<Held> held_;
  std::size_t text_bytes_ = 0;      ///< Text that came from tokens.
  std::size_t released_bytes_ = 0;  ///< Text that was let go.
};

}  // namespace onnxlocal
