#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <regex>
#include <string>
#include <vector>

#include "dialect/dialect.h"
#include "provider/provider.h"

namespace onnxlocal {

/// What a `RawTextProvider` says: JSON of the form
///   {"rules": [{"match": REGEX, "say": RAW_TEXT, "once": BOOL}, ...], "replies": [RAW_TEXT, ...]}
/// The first rule whose regex (ECMAScript) is found in the last text or tool result answers, else
/// the next of `replies`, the last of them again and again. All but `say` may be left out.
struct RawTextScript {
  struct Rule {
    std::string pattern;
    std::regex match;
    std::string say;
    bool once = false;  ///< Answers a single time.
    bool is_spent = false;
  };
  std::vector<Rule> rules;
  std::vector<std::string> replies;

  /// Errors: not_found, invalid_request.
  static Result<RawTextScript> load(const std::filesystem::path& file);
  static Result<RawTextScript> from_json(std::string_view text);
};

/// A provider whose model is a script of raw texts, in Hermes' form with thinking in `<think>`:
/// they go through the parser that real models' texts go through, so that tool loops can be shown
/// without a clever model. Usage is a quarter of the bytes. Any thread.
class RawTextProvider final : public Provider {
 public:
  explicit RawTextProvider(RawTextScript script);

  Result<ActiveGeneration> generate(const GenerationRequest& request, EventSink sink) override;
  Result<std::uint32_t> count_tokens(const GenerationRequest& request) override;
  std::vector<ModelInfo> models() const override;
  ProviderStatus status() const override;
  void shut_down(Deadline) override {}

 private:
  Result<std::string> next_reply(const GenerationRequest& request);

  std::shared_ptr<const Dialect> dialect_;
  std::mutex mutex_;
  RawTextScript script_;  // These are guarded by mutex_.
  std::size_t next_reply_ = 0;
};

}  // namespace onnxlocal
