#include "cli/bench_speculation.h"

#include <charconv>
#include <filesystem>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "base/file_system.h"
#include "cli/progress.h"
#include "engine/speculation_measure.h"
#include "runtime/model_session.h"
#include "text/tokenizer.h"

namespace onnxlocal {

namespace {

constexpr std::size_t kRecordedBytesMax = std::size_t{1} << 20;
/// Stands between the prompt and the answer in a recorded text.
constexpr std::string_view kSeparator = "\n=== answer ===\n";

/// What `--speculation` asks for.
struct Asked {
  std::optional<std::filesystem::path> recorded;
  std::optional<double> acceptance;
};

Result<Asked> parse(std::string_view text) {
  Asked asked;
  constexpr std::string_view kRecorded = "recorded=";
  constexpr std::string_view kAcceptance = "acceptance=";
  if (text.starts_with(kRecorded)) {
    asked.recorded = text.substr(kRecorded.size());
    return asked;
  }
  if (text.starts_with(kAcceptance)) {
    const std::string_view number = text.substr(kAcceptance.size());
    double value = -1;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    const bool is_number = error == std::errc{} && end == number.data() + number.size();
    if (is_number && value >= 0 && value <= 1) {
      asked.acceptance = value;
      return asked;
    }
  }
  return std::unexpected(invalid_request(
      fmt::format("--speculation is \"{}\"; expected recorded=FILE or acceptance=0.8", text)));
}

Result<RecordedText> read_recorded(const std::filesystem::path& file, const Tokenizer& tokenizer) {
  TRY(const std::string text, read_text_file(file, kRecordedBytesMax));
  const std::size_t at = text.find(kSeparator);
  if (at == std::string::npos) {
    return std::unexpected(invalid_request(
        fmt::format("{}: no line \"=== answer ===\" between prompt and answer", file.string())));
  }
  RecordedText recorded;
  const std::string_view all = text;
  TRY(recorded.prompt, tokenizer.encode(all.substr(0, at + 1), SpecialTokens::kAsText));
  TRY(recorded.answer,
      tokenizer.encode(all.substr(at + kSeparator.size()), SpecialTokens::kAsText));
  return recorded;
}

void print_text(const SpeculationMeasurement& figures, const RecordedText& text) {
  const double gain = figures.decode_tokens_per_s / figures.plain_decode_tokens_per_s;
  fmt::print("{}", table({{"prompt, answer",
                           fmt::format("{}, {} tokens", text.prompt.size(), text.answer.size())},
                          {"decode without guesses",
                           fmt::format("{:.1f} tokens/s", figures.plain_decode_tokens_per_s)},
                          {"decode with guesses", fmt::format("{:.1f} tokens/s (x {:.2f})",
                                                              figures.decode_tokens_per_s, gain)},
                          {"guesses, right",
                           fmt::format("{}, {}", figures.draft_tokens, figures.accepted_tokens)}}));
}

}  // namespace

Result<ExitCode> run_speculation_bench(const std::string& what, const std::string& model,
                                       const MeasureOptions& measure, bool is_json,
                                       const CommandContext& context) {
  TRY(const Asked asked, parse(what));
  const Interrupts interrupts;
  ProgressBar bar;
  const std::stop_token stop = interrupts.stop_token();
  TRY(const ModelFolder folder, context.store.resolve(model, stop, bar.sink()));
  RuntimeOptions runtime = runtime_options(context);
  runtime.slots = 1;
  TRY(const LoadedDecoder loaded, load_decoder(folder, runtime, stop, bar.sink()));
  RecordedText text =
      made_up_text(measure.depth_tokens + measure.prompt_tokens, measure.generate_tokens,
                   loaded.decoder->limits().vocabulary_size);
  if (asked.recorded) {
    TRY(const auto tokenizer, Tokenizer::load(folder.tokenizer_file()));
    TRY(text, read_recorded(*asked.recorded, *tokenizer));
  }
  const SpeculationMeasureOptions options{
      .acceptance = asked.acceptance, .repetitions = measure.repetitions, .measure_costs = true};
  TRY(const SpeculationMeasurement figures,
      measure_speculation(*loaded.decoder, text, options, stop, bar.sink()));
  bar.clear();
  if (is_json) {
    print_json(json::object{{"decode_tokens_per_s", figures.decode_tokens_per_s},
                            {"plain_decode_tokens_per_s", figures.plain_decode_tokens_per_s},
                            {"draft_tokens", figures.draft_tokens},
                            {"accepted_tokens", figures.accepted_tokens}});
  } else {
    print_text(figures, text);
  }
  return ExitCode::kOk;
}

}  // namespace onnxlocal
