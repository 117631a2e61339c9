#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "engine/stop_matcher.h"
#include "generation/event.h"
#include "provider/prompt.h"
#include "provider/reply_plan.h"
#include "provider/reply_reader.h"

namespace onnxlocal {

/// One reply on its way from the engine to the client: read by the model's dialect, calls' inputs
/// validated where the grammar could not hold their schema, remembered when it went well.
///
/// A call whose input fails is generated once more from where its input began, as a sequence of its
/// own; until it passes, or failed twice, nothing of it is shown. `cancel` and `prompt_usage` may
/// be called on any thread, all else runs on the engine's. The engine outlives what runs on its
/// thread.
class ReplyRun : public std::enable_shared_from_this<ReplyRun> {
 public:
  struct Parts {
    Engine* engine = nullptr;  ///< Outlives the run's sequences.
    std::shared_ptr<const PromptBuilder> prompts;
    ModelTongue tongue;
    ReplyPlan plan;
    Prompt prompt;
    SequenceRequest sequence;  ///< Without prompt and constraint.
    EventSink sink;
  };
  /// Submits the first try. Errors: as Engine::submit (then the sink is never called).
  static Result<std::shared_ptr<ReplyRun>> start(Parts parts);
  explicit ReplyRun(Parts parts);

  void cancel();
  /// See `Engine::prompt_usage`.
  std::optional<Usage> prompt_usage();

 private:
  /// Where a call's input began.
  struct Mark {
    ReplyReader reader;
    std::size_t tokens = 0;
  };

  Result<SequenceId> submit();
  Result<SequenceRequest> next_request() const;
  void take(std::uint32_t attempt, GenerationEvent event);
  void take_started(GenerationStarted started);
  void take_delta(GenerationDelta delta);
  void take_finished(GenerationFinished finished);
  void take_failed(GenerationFailed failed);

  /// False where the reply goes on in another sequence, or is over.
  bool take_events();
  bool take_event(ReplyEvent event);
  bool end_call(const ToolInputEnded& ended);
  bool try_again();
  void show_text(GenerationDelta delta);
  void flush_text();
  void release_held();
  void stop_at(const std::string& stop_string);
  void finish(GenerationFinished finished);

  Parts parts_;  // These are the engine thread's, once the first try is submitted.
  std::optional<ReplyReader> reader_;
  std::optional<StopMatcher> stops_;
  std::vector<TokenReport> text_reports_;  ///< Of text that the stop matcher holds back.
  Message plain_{.role = Role::kAssistant, .content = {}};
  std::vector<TokenId> tokens_;     ///< Generated, and part of the reply.
  std::vector<ReplyEvent> events_;  ///< Read, and not shown yet.
  std::vector<ReplyEvent> held_;    ///< Of a call that is to be validated.
  std::string held_name_;           ///< Its tool; empty where nothing is held.
  std::optional<Mark> mark_;
  bool has_tried_again_ = false;  ///< This call.
  std::uint32_t attempt_ = 0;
  std::optional<Usage> started_;
  std::vector<std::string> warnings_;
  bool is_over_ = false;

  std::mutex mutex_;
  // Guarded by mutex_.
  std::optional<SequenceId> running_;
  bool is_cancelled_ = false;
};

}  // namespace onnxlocal
