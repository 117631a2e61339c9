#include "scripted_provider.h"

#include <utility>

namespace onnxlocal {

namespace {

constexpr std::uint32_t kPromptTokens = 10;

bool is_last(const GenerationEvent& event) {
  return std::holds_alternative<GenerationFinished>(event) ||
         std::holds_alternative<GenerationFailed>(event);
}

}  // namespace

void ScriptedProvider::Running::emit(GenerationEvent event) {
  const std::scoped_lock lock(mutex_);
  if (!sink_) return;
  const bool ends = is_last(event);
  sink_(std::move(event));
  if (ends) sink_ = nullptr;
}

void ScriptedProvider::Running::cancel() {
  {
    const std::scoped_lock lock(mutex_);
    if (!sink_) return;
    is_cancelled_ = true;
  }
  emit(GenerationFailed{cancelled()});
  changed_.notify_all();
}

bool ScriptedProvider::Running::wait_until_cancelled(Deadline deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline.at(), [this] { return is_cancelled_; });
}

ScriptedProvider::ScriptedProvider() {
  status_.state = ProviderStatus::State::kReady;
  status_.model = "onnx-local/scripted";
  status_.execution_provider = "cpu";
  status_.slots = 1;
}

void ScriptedProvider::set_script(std::vector<GenerationEvent> events) {
  const std::scoped_lock lock(mutex_);
  script_ = std::move(events);
}

void ScriptedProvider::refuse_with(std::optional<Error> error) {
  const std::scoped_lock lock(mutex_);
  refusal_ = std::move(error);
}

void ScriptedProvider::set_status(ProviderStatus status) {
  const std::scoped_lock lock(mutex_);
  status_ = std::move(status);
}

void ScriptedProvider::set_prompt_usage(std::optional<Usage> usage) {
  const std::scoped_lock lock(mutex_);
  prompt_usage_ = usage;
}

std::shared_ptr<ScriptedProvider::Running> ScriptedProvider::wait_for(std::size_t index,
                                                                      Deadline deadline) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline.at(), [&] { return generations_.size() > index; });
  return generations_.size() > index ? generations_[index] : nullptr;
}

Result<ActiveGeneration> ScriptedProvider::generate(const GenerationRequest& request,
                                                    EventSink sink) {
  std::vector<GenerationEvent> script;
  std::shared_ptr<Running> running;
  std::optional<Usage> usage;
  {
    const std::scoped_lock lock(mutex_);
    if (refusal_) return std::unexpected(*refusal_);
    script = script_;
    usage = prompt_usage_;
    running = std::make_shared<Running>(request, std::move(sink));
    generations_.push_back(running);
  }
  changed_.notify_all();
  for (GenerationEvent& event : script) running->emit(std::move(event));
  return ActiveGeneration([running] { running->cancel(); }, [usage] { return usage; });
}

Result<std::uint32_t> ScriptedProvider::count_tokens(const GenerationRequest& request) {
  const std::scoped_lock lock(mutex_);
  if (refusal_) return std::unexpected(*refusal_);
  std::size_t bytes = 0;
  for (const Message& message : request.messages) {
    for (const ContentBlock& block : message.content)
      if (const auto* text = std::get_if<TextBlock>(&block)) bytes += text->text.size();
  }
  return static_cast<std::uint32_t>(bytes);
}

Result<std::string> ScriptedProvider::detokenize(std::span<const TokenId> tokens) const {
  std::string text;
  for (const TokenId token : tokens) text += static_cast<char>(token);
  return text;
}

std::vector<ModelInfo> ScriptedProvider::models() const {
  return {{.id = "onnx-local/scripted",
           .display_name = "Scripted",
           .created_at = {},
           .context_tokens = 1024,
           .tokens_max = 1024}};
}

ProviderStatus ScriptedProvider::status() const {
  const std::scoped_lock lock(mutex_);
  return status_;
}

void ScriptedProvider::shut_down(Deadline) {}

std::vector<GenerationEvent> scripted_answer(const std::vector<std::string>& texts,
                                             StopReason reason) {
  std::vector<GenerationEvent> events;
  Usage usage{.input_tokens = kPromptTokens};
  events.emplace_back(GenerationStarted{usage});
  for (const std::string& text : texts) {
    events.emplace_back(GenerationDelta{.text = text, .tokens = {}});
  }
  usage.output_tokens = static_cast<std::uint32_t>(texts.size());
  events.emplace_back(GenerationFinished{.reason = reason, .stop_string = {}, .usage = usage});
  return events;
}

}  // namespace onnxlocal
