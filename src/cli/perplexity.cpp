#include "inspect/perplexity.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <memory>

#include "base/file_system.h"
#include "cli/interrupt.h"
#include "cli/program.h"
#include "cli/progress.h"
#include "model/begin_token.h"
#include "runtime/model_session.h"
#include "text/tokenizer.h"

namespace onnxlocal {

namespace {

constexpr std::size_t kReferenceBytesMax = std::size_t{64} << 20;

struct PerplexityFlags {
  std::string text_file;
  std::string reference_file;
  std::uint32_t chunk_tokens = 512;
  std::uint32_t chunks_max = 0;
  bool shows_top_tokens = false;
};

struct Outcome {
  PerplexityResult result;
  std::optional<PerplexityComparison> comparison;
};

Result<Outcome> measure_file(const PerplexityFlags& flags, const CommandContext& context) {
  Interrupts interrupts;
  ProgressBar bar;
  const std::stop_token stop = interrupts.stop_token();
  std::optional<PerplexityReference> reference;
  if (!flags.reference_file.empty()) {
    TRY(const std::string text, read_text_file(flags.reference_file, kReferenceBytesMax));
    TRY(reference, parse_perplexity_reference(text, flags.reference_file));
  }
  TRY(const std::string text, read_perplexity_text(flags.text_file));
  TRY(const ModelFolder folder, context.store.resolve(context.settings.model, stop, bar.sink()));
  TRY(const auto tokenizer, Tokenizer::load(folder.tokenizer_file()));
  TRY(const auto tokens, tokenizer->encode(text, SpecialTokens::kAsText));
  RuntimeOptions runtime = runtime_options(context);
  runtime.slots = 1;
  TRY(const LoadedDecoder loaded, load_decoder(folder, runtime, stop, bar.sink()));
  PerplexityOptions options{.context_tokens = flags.chunk_tokens, .chunks_max = flags.chunks_max};
  TRY(const auto adds_bos, adds_bos_token(folder.path));
  if (adds_bos.value_or(false)) options.bos_token = folder.config.bos_token;
  Outcome outcome;
  TRY(outcome.result, measure_perplexity(*loaded.decoder, tokens, options, stop, bar.sink()));
  if (reference) {
    TRY(outcome.comparison, compare_perplexity(outcome.result, *reference));
  }
  return outcome;
}

void print_outcome(const Outcome& outcome, bool shows_top_tokens, bool is_json) {
  const PerplexityResult& result = outcome.result;
  if (!is_json) {
    fmt::print("perplexity {:.4f} +/- {:.4f} ({} tokens in {} chunks of {})\n", result.perplexity,
               result.deviation, result.scored_tokens, result.chunks, result.context_tokens);
    if (outcome.comparison) {
      if (outcome.comparison->perplexity_ratio) {
        fmt::print("{:.4f} of the reference\n", *outcome.comparison->perplexity_ratio);
      }
      fmt::print("the same top token at {:.2f} % of {} positions\n",
                 outcome.comparison->top_token_agreement * 100, outcome.comparison->positions);
    }
    return;
  }
  json::object object{{"perplexity", result.perplexity},
                      {"deviation", result.deviation},
                      {"context_tokens", result.context_tokens},
                      {"chunks", result.chunks},
                      {"scored_tokens", result.scored_tokens}};
  if (outcome.comparison) {
    if (outcome.comparison->perplexity_ratio) {
      object["perplexity_ratio"] = *outcome.comparison->perplexity_ratio;
    }
    object["top_token_agreement"] = outcome.comparison->top_token_agreement;
  }
  if (shows_top_tokens) {
    object["top_tokens"] = json::array(result.top_tokens.begin(), result.top_tokens.end());
  }
  print_json(object);
}

}  // namespace

void add_perplexity(CLI::App& app, CommandLine& line) {
  CLI::App* command =
      app.add_subcommand("perplexity", "Measure how well a model predicts a text (for developers)");
  const auto flags = std::make_shared<PerplexityFlags>();
  command->add_option("FILE", flags->text_file, "A text")->required();
  line.add_setting(*command, "model", "A name, folder or file; else the default model");
  command->add_option("--chunk", flags->chunk_tokens, "Tokens of one chunk")->capture_default_str();
  command->add_option("--chunks", flags->chunks_max, "Stop after so many; 0 takes all")
      ->capture_default_str();
  command->add_option("--reference", flags->reference_file,
                      "Compare with what an earlier --json --top-tokens run printed");
  command->add_flag("--top-tokens", flags->shows_top_tokens,
                    "With --json: the most likely token of each scored position");
  line.add_json(*command);
  command->footer(
      "The protocol is that of llama.cpp's llama-perplexity: the second half of each chunk is "
      "scored.\n\n"
      "Example:\n"
      "  onnx-local perplexity text.txt --chunks 2");
  command->callback([flags, &line] {
    line.command = [flags, &line](CommandContext& context) -> Result<ExitCode> {
      TRY(const Outcome outcome, measure_file(*flags, context));
      print_outcome(outcome, flags->shows_top_tokens, line.is_json);
      return ExitCode::kOk;
    };
  });
}

}  // namespace onnxlocal
