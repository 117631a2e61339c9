#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/bench_profile.h"
#include "cli/bench_speculation.h"
#include "cli/interrupt.h"
#include "cli/program.h"
#include "cli/progress.h"
#include "inspect/measure.h"

namespace onnxlocal {

namespace {

struct BenchFlags {
  std::string model;
  MeasureOptions measure;
  bool is_profile = false;
  std::string speculation;  ///< What to measure of it; empty: the figures without.
};

void print_text(const ModelFolder& folder, const MeasureOptions& options,
                const Measurement& measurement) {
  const std::string depth =
      options.depth_tokens == 0 ? "" : fmt::format(" at depth {}", options.depth_tokens);
  std::vector<std::vector<std::string>> rows = {
      {"model", folder.name},
      {"execution provider", measurement.execution_provider},
      {"load", fmt::format("{:.0f} ms", measurement.load_ms)},
      {"first token, 16-token prompt", fmt::format("{:.1f} ms", measurement.first_token_ms)}};
  if (options.prompt_tokens > 0) {
    rows.push_back({fmt::format("prefill {}{}", options.prompt_tokens, depth),
                    fmt::format("{:.1f} tokens/s", measurement.prefill_tokens_per_s)});
  }
  if (options.generate_tokens > 0) {
    rows.push_back(
        {fmt::format("decode {} x {}{}", options.generate_tokens, options.streams, depth),
         fmt::format("{:.1f} tokens/s", measurement.decode_tokens_per_s)});
  }
  if (options.streams > 1 && options.prompt_tokens > 0) {
    rows.push_back({fmt::format("{} streams, prompts and answers", options.streams),
                    fmt::format("{:.1f} tokens/s", measurement.total_tokens_per_s)});
  }
  rows.push_back({"resident memory", human_bytes(measurement.resident_bytes)});
  fmt::print("{}", table(rows));
}

Result<ExitCode> run_bench(const BenchFlags& flags, bool is_json, const CommandContext& context) {
  const std::string& wanted = flags.model.empty() ? context.settings.model : flags.model;
  if (!flags.speculation.empty()) {
    return run_speculation_bench(flags.speculation, wanted, flags.measure, is_json, context);
  }
  if (flags.is_profile) return run_profile_bench(wanted, flags.measure, is_json, context);
  Interrupts interrupts;
  ProgressBar bar;
  TRY(const ModelFolder folder, context.store.resolve(wanted, interrupts.stop_token(), bar.sink()));
  TRY(const Measurement measurement, measure(folder, runtime_options(context), flags.measure,
                                             interrupts.stop_token(), bar.sink()));
  bar.clear();
  if (is_json) {
    json::object figures{{"prefill_tokens_per_s", measurement.prefill_tokens_per_s},
                         {"decode_tokens_per_s", measurement.decode_tokens_per_s},
                         {"load_ms", measurement.load_ms},
                         {"model_load_ms", measurement.model_load_ms},
                         {"first_token_ms", measurement.first_token_ms},
                         {"resident_bytes", measurement.resident_bytes}};
    if (flags.measure.streams > 1) figures["total_tokens_per_s"] = measurement.total_tokens_per_s;
    print_json(figures);
  } else {
    print_text(folder, flags.measure, measurement);
  }
  return ExitCode::kOk;
}

}  // namespace

void add_bench(CLI::App& app, CommandLine& line) {
  CLI::App* command = app.add_subcommand("bench", "Measure a model's speed and memory");
  const auto flags = std::make_shared<BenchFlags>();
  command->add_option("MODEL", flags->model, "A name, folder or file; else the default model");
  command->add_option("--prompt", flags->measure.prompt_tokens, "Prompt tokens (prefill)")
      ->capture_default_str();
  command->add_option("--generate", flags->measure.generate_tokens, "Tokens to generate (decode)")
      ->capture_default_str();
  command->add_option("--depth", flags->measure.depth_tokens, "Tokens already there before each")
      ->capture_default_str();
  command->add_option("--batch", flags->measure.streams, "Streams that decode together")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command->add_option("--repeat", flags->measure.repetitions, "Repetitions; the median is shown")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--speculation", flags->speculation,
                      "Decode speed with guesses and without: recorded=FILE (a prompt, a line "
                      "\"=== answer ===\", an answer), or acceptance=P (guesses that are right "
                      "with chance P)");
  command->add_flag("--profile", flags->is_profile,
                    "Where a step's time goes instead, kernel by kernel (onnx-local's provider)");
  line.add_setting(*command, "model", "The model, as MODEL");
  line.add_json(*command);
  command->footer(
      "Speeds are tokens per second, all streams together. JSON keys: prefill_tokens_per_s,\n"
      "decode_tokens_per_s, load_ms, model_load_ms (without the tokenizer, which loads beside "
      "it),\n"
      "first_token_ms, resident_bytes; with several streams total_tokens_per_s, prompts "
      "included;\n"
      "with --speculation decode_tokens_per_s, plain_decode_tokens_per_s, draft_tokens, "
      "accepted_tokens; with --profile prefill and decode, each with steps, ms and kernels.\n\n"
      "Example:\n"
      "  onnx-local bench --prompt 512 --generate 64 --depth 0 --batch 1 --json");
  command->callback([flags, &line] {
    line.command = [flags, &line](CommandContext& context) {
      return run_bench(*flags, line.is_json, context);
    };
  });
}

}  // namespace onnxlocal
