#include "inspect/step_profile.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/file_system.h"
#include "base/json.h"
#include "runtime/model_session.h"

namespace onnxlocal {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kProfileBytesMax = std::size_t{1} << 20;
constexpr std::string_view kElse = "else";

std::uint64_t count_of(const json::object& object, std::string_view key) {
  const auto* const value = object.if_contains(key);
  if (value == nullptr) return 0;
  if (value->is_uint64()) return value->as_uint64();
  return value->is_int64()
             ? static_cast<std::uint64_t>(std::max<std::int64_t>(value->as_int64(), 0))
             : 0;
}

/// A file that is removed with it.
class ScratchFile {
 public:
  explicit ScratchFile(fs::path path) : path_(std::move(path)) { remove(); }
  ~ScratchFile() { remove(); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  const fs::path& path() const { return path_; }

 private:
  void remove() const {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  fs::path path_;
};

/// The steps over one loaded model.
class Steps {
 public:
  Steps(Decoder& decoder, const MeasureOptions& options, const std::stop_token& stop)
      : decoder_(decoder), options_(options), stop_(stop) {
    const std::size_t longest = std::max({options.depth_tokens, options.prompt_tokens, 1U});
    for (std::size_t i = 0; i < longest; ++i) {
      tokens_.push_back(static_cast<TokenId>(i * 7919 % decoder.limits().vocabulary_size));
    }
  }

  Result<void> fill_to_depth() {
    for (std::uint32_t slot = 0; slot < options_.streams; ++slot) {
      if (options_.depth_tokens == 0) continue;
      if (slot > 0) {
        TRY_VOID(decoder_.copy_prefix(SlotId{0}, SlotId{slot}, options_.depth_tokens));
      } else {
        TRY_VOID(prefill(options_.depth_tokens));
      }
    }
    count_ = 0;
    return {};
  }
  Result<void> prefill_once() {
    decoder_.truncate(SlotId{0}, options_.depth_tokens);
    return prefill(options_.prompt_tokens);
  }
  Result<void> decode_once() {
    for (std::uint32_t slot = 0; slot < options_.streams; ++slot) {
      decoder_.truncate(SlotId{slot}, options_.depth_tokens);
    }
    for (std::uint32_t token = 0; token < options_.generate_tokens; ++token) {
      std::vector<Step> steps;
      for (std::uint32_t slot = 0; slot < options_.streams; ++slot) {
        const auto any = std::span(tokens_).subspan((token + slot) % tokens_.size(), 1);
        steps.push_back({.slot = SlotId{slot}, .tokens = any});
      }
      TRY_VOID(run(steps));
    }
    return {};
  }
  std::uint64_t count() const { return count_; }

 private:
  Result<void> run(std::span<const Step> steps) {
    if (stop_.stop_requested()) return std::unexpected(cancelled());
    TRY(const Logits logits, decoder_.forward(steps));
    static_cast<void>(logits);
    ++count_;
    return {};
  }
  Result<void> prefill(std::uint32_t count) {
    for (std::uint32_t at = 0; at < count;) {
      const std::uint32_t size = std::min(decoder_.limits().chunk_tokens_max, count - at);
      const Step step{.slot = SlotId{0}, .tokens = std::span(tokens_).subspan(at, size)};
      TRY_VOID(run({&step, 1}));
      at += size;
    }
    return {};
  }

  Decoder& decoder_;
  const MeasureOptions& options_;
  const std::stop_token& stop_;
  std::vector<TokenId> tokens_;
  std::uint64_t count_ = 0;
};

/// One load, its steps, and what the kernels then wrote. `repetitions` 0: the depth alone.
Result<StepProfile> run_once(const ModelFolder& folder, const RuntimeOptions& runtime,
                             const MeasureOptions& options, ProfiledSteps which,
                             std::uint32_t repetitions, const std::stop_token& stop) {
  const ScratchFile file(runtime.profile_file);
  StepProfile profile;
  {
    TRY(LoadedDecoder loaded, load_decoder(folder, runtime, stop));
    const DecoderLimits& limits = loaded.decoder->limits();
    if (std::uint64_t{options.depth_tokens} +
            std::max({options.prompt_tokens, options.generate_tokens, 1U}) >
        limits.slot_tokens_max) {
      return std::unexpected(invalid_request(
          fmt::format("the context has {} tokens: fewer than asked for", limits.slot_tokens_max),
          "Take a smaller --depth, --prompt or --generate."));
    }
    Steps steps(*loaded.decoder, options, stop);
    TRY_VOID(steps.fill_to_depth());
    const auto start = Clock::now();
    for (std::uint32_t i = 0; i < repetitions; ++i) {
      TRY_VOID(which == ProfiledSteps::kPrefill ? steps.prefill_once() : steps.decode_once());
    }
    profile.milliseconds = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    profile.steps = steps.count();
  }
  // The session's end writes the file.
  const auto lines = read_text_file(file.path(), kProfileBytesMax);
  if (!lines) {
    return std::unexpected(
        unsupported("no kernel of onnx-local's own provider ran this model as a whole",
                    "--profile shows where that provider's time goes: take --ep onnx-local"));
  }
  TRY(profile.kernels, parse_kernel_times(*lines));
  return profile;
}

}  // namespace

Result<std::vector<KernelTime>> parse_kernel_times(std::string_view lines) {
  std::map<std::string, KernelTime> by_kind;
  while (!lines.empty()) {
    const auto end = lines.find('\n');
    const std::string_view line = lines.substr(0, end);
    lines = end == std::string_view::npos ? std::string_view{} : lines.substr(end + 1);
    if (line.empty()) continue;
    const auto value = json::parse(line);
    const json::object* const object = value ? value->if_object() : nullptr;
    const auto* const kind = object == nullptr ? nullptr : object->if_contains("kind");
    if (kind == nullptr || !kind->is_string()) {
      return std::unexpected(
          model_corrupt(fmt::format("a line of the kernels' profile is none: '{}'", line)));
    }
    // "run" counts steps and has no time of its own.
    if (!object->contains("nanoseconds")) continue;
    KernelTime& time = by_kind[std::string(kind->as_string())];
    time.kind = kind->as_string();
    time.calls += count_of(*object, "calls");
    time.milliseconds += static_cast<double>(count_of(*object, "nanoseconds")) * 1e-6;
  }
  std::vector<KernelTime> times;
  for (auto& [kind, time] : by_kind) times.push_back(std::move(time));
  std::ranges::sort(times, std::greater<>(), &KernelTime::milliseconds);
  return times;
}

Result<StepProfile> profile_steps(const ModelFolder& folder, RuntimeOptions runtime,
                                  const MeasureOptions& options, ProfiledSteps which,
                                  const std::stop_token& stop) {
  runtime.slots = std::max(options.streams, 1U);
  std::error_code error;
  runtime.profile_file =
      fs::temp_directory_path(error) /
      fmt::format("onnx-local-profile-{}.jsonl", Clock::now().time_since_epoch().count());
  // The first load may pack weights and read them from the disk: it would count as the kernels'
  // time.
  TRY_VOID(run_once(folder, runtime, options, which, 0, stop));
  TRY(StepProfile profile,
      run_once(folder, runtime, options, which, std::max(options.repetitions, 1U), stop));
  // What loading and the way to the depth took is in the file too: it is measured apart.
  TRY(const StepProfile before, run_once(folder, runtime, options, which, 0, stop));
  double inside = 0;
  for (KernelTime& time : profile.kernels) {
    const auto same = std::ranges::find(before.kernels, time.kind, &KernelTime::kind);
    if (same != before.kernels.end()) {
      time.calls -= std::min(time.calls, same->calls);
      time.milliseconds = std::max(0.0, time.milliseconds - same->milliseconds);
    }
    inside += time.milliseconds;
  }
  std::ranges::sort(profile.kernels, std::greater<>(), &KernelTime::milliseconds);
  profile.kernels.push_back({.kind = std::string(kElse),
                             .calls = profile.steps,
                             .milliseconds = std::max(0.0, profile.milliseconds - inside)});
  return profile;
}

}  // namespace onnxlocal
