#include "provider/load_parts.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "model/begin_token.h"
#include "runtime/model_session.h"
#include "text/grammar.h"

namespace onnxlocal {
namespace {

struct Texts {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_future<bool> takes_grammars;
  std::shared_ptr<const ChatTemplate> chat_template;
  std::optional<bool> adds_bos;
};

Result<Texts> load_texts(const ModelFolder& folder) {
  Texts texts;
  TRY(texts.tokenizer, Tokenizer::load(folder.tokenizer_file()));
  texts.takes_grammars = find_out_grammars(texts.tokenizer);
  TRY(texts.adds_bos, adds_bos_token(folder.path));
  TRY(const ChatTemplateSource source, read_chat_template(folder.path));
  if (source.source.empty()) return texts;
  ChatTemplateOptions options;
  options.bos_token = source.bos_token;
  options.eos_token = source.eos_token;
  TRY(texts.chat_template, ChatTemplate::compile(source.source, std::move(options)));
  return texts;
}

}  // namespace

std::chrono::sys_seconds changed_at(const std::filesystem::path& file) {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(file, error);
  if (error) return {};
  return std::chrono::floor<std::chrono::seconds>(std::chrono::file_clock::to_sys(time));
}

std::shared_future<bool> find_out_grammars(std::shared_ptr<const Tokenizer> tokenizer) {
  return std::async(std::launch::async, [tokenizer = std::move(tokenizer)] {
    const auto grammar = Grammar::from_lark(*tokenizer, "start: \"a\"");
    if (!grammar) LOG_WARNING("no grammar can hold this model: {}", describe(grammar.error()));
    return grammar.has_value();
  });
}

Result<LocalParts> load_parts(const ModelFolder& folder, const RuntimeOptions& runtime,
                              const ProgressSink& progress, const std::stop_token& stop) {
  Result<Texts> texts;
  Result<LoadedDecoder> session = std::unexpected(Error{});
  {
    const std::jthread beside([&] { texts = load_texts(folder); });
    session = load_decoder(folder, runtime, stop, progress);
  }
  if (!session) return std::unexpected(session.error());
  if (!texts) return std::unexpected(texts.error());
  return LocalParts{.name = folder.name,
                    .decoder = std::move(session->decoder),
                    .draft_decoder = nullptr,
                    .tokenizer = std::move(texts->tokenizer),
                    .chat_template = std::move(texts->chat_template),
                    .takes_grammars = std::move(texts->takes_grammars),
                    .bos_token = folder.config.bos_token,
                    .adds_bos = texts->adds_bos,
                    .sampling = folder.config.sampling,
                    .created_at = changed_at(folder.model_file()),
                    .execution_provider = std::move(session->execution_provider),
                    .warnings = std::move(session->warnings)};
}

Result<void> add_draft_model(LocalParts& parts, const ModelFolder& draft,
                             const RuntimeOptions& runtime, const ProgressSink& progress,
                             const std::stop_token& stop) {
  if (parts.decoder->limits().mixing != StepMixing::kRagged) {
    parts.warnings.push_back(fmt::format(
        "the draft model {} is not used: the execution provider {} verifies one token at a time",
        draft.name, parts.execution_provider));
    LOG_WARNING("{}", parts.warnings.back());
    return {};
  }
  auto loaded = load_decoder(draft, runtime, stop, progress);
  if (!loaded) {
    return std::unexpected(
        with_context(fmt::format("the draft model {}", draft.name), loaded.error()));
  }
  parts.draft_decoder = std::move(loaded->decoder);
  std::ranges::move(loaded->warnings, std::back_inserter(parts.warnings));
  return {};
}

ModelInfo describe_model(const ModelFolder& folder, const RuntimeOptions& runtime) {
  std::uint32_t context = folder.config.context_tokens;
  if (runtime.context_tokens > 0) {
    context = context > 0 ? std::min(context, runtime.context_tokens) : runtime.context_tokens;
  }
  return {.id = "onnx-local/" + folder.name,
          .display_name = folder.name,
          .created_at = changed_at(folder.model_file()),
          .context_tokens = context,
          .tokens_max = context > 0 ? context - 1 : 0};
}

}  // namespace onnxlocal
