#include "runtime/model_session.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <onnx/onnx_pb.h>

#include "model/onnx_file.h"
#include "runtime/decoder_growing.h"
#include "runtime/decoder_paged.h"
#include "runtime/decoder_shared.h"
#include "runtime/environment.h"
#include "runtime/execution_providers.h"
#include "runtime/graph_inspection.h"
#include "runtime/model_identity.h"
#include "runtime/open_session.h"
#include "runtime/own_provider.h"
#include "runtime/paged_model.h"
#include "runtime/paged_slots.h"
#include "runtime/stock_cpu_rewrite.h"

namespace onnxlocal {

namespace {

/// Most bytes that the logits of one chunk may take, where the graph computes them for every
/// position: a 512-token chunk of a 150,000-token vocabulary would need 300 MB.
constexpr std::size_t kChunkLogitsBytesMax = std::size_t{128} << 20;
constexpr std::uint32_t kChunkTokensMin = 16;

/// What is tried on each execution provider.
struct Attempt {
  const ModelFolder& folder;
  const RuntimeOptions& options;
  const onnx::ModelProto& model;
  std::stop_token stop;
  const ProgressSink& progress;
};

/// The window in use; 0 where it is not known.
std::uint32_t window_of(const Attempt& attempt) {
  const std::uint32_t window = attempt.folder.config.context_tokens;
  const std::uint32_t wanted = attempt.options.context_tokens;
  return wanted == 0 ? window : (window == 0 ? wanted : std::min(wanted, window));
}

Result<DecoderSizes> sizes_of(const Attempt& attempt) {
  DecoderSizes sizes;
  sizes.slots = std::max(attempt.options.slots, 1U);
  sizes.slot_tokens_max = window_of(attempt);
  sizes.chunk_tokens_max =
      std::min(std::max(attempt.options.chunk_tokens_max, 1U), sizes.slot_tokens_max);
  if (sizes.slot_tokens_max > 0) return sizes;
  return std::unexpected(model_corrupt("the model's context window is not known",
                                       "set it in genai_config.json: model.context_length"));
}

Result<DecoderSizes> sizes_of(const Attempt& attempt, const GraphInterface& graph) {
  TRY(DecoderSizes sizes, sizes_of(attempt));
  if (!graph.has_logits_positions) {
    const std::size_t row = graph.vocabulary_size * element_bytes(graph.logits_type);
    const std::size_t rows = std::max<std::size_t>(kChunkLogitsBytesMax / row, kChunkTokensMin);
    sizes.chunk_tokens_max =
        static_cast<std::uint32_t>(std::min<std::size_t>(sizes.chunk_tokens_max, rows));
  }
  return sizes;
}

/// One token through the whole model: a provider may take a session and fail when it runs.
Result<void> check_first_run(Decoder& decoder, const ModelConfig& config) {
  const std::array<TokenId, 1> tokens{config.bos_token.value_or(0)};
  const std::array<Step, 1> steps{Step{.slot = SlotId{0}, .tokens = tokens}};
  TRY(const Logits logits, decoder.forward(steps));
  if (!std::ranges::all_of(logits.values, [](float x) { return std::isfinite(x); })) {
    return std::unexpected(internal_error("the first run gave logits that are not numbers"));
  }
  decoder.truncate(SlotId{0}, 0);
  return {};
}

Result<std::unique_ptr<Decoder>> load_standard(const Attempt& attempt,
                                               const ExecutionProviderChoice& choice) {
  if (attempt.options.kv_cache_type != KvCacheType::kBf16) {
    LOG_WARNING("{}: keys and values keep the model's own type here: {} is of {}'s pages",
                choice.name, to_string(attempt.options.kv_cache_type), kOwnProviderShortName);
  }
  PreparedModel prepared{
      .file = attempt.folder.model_file(), .weights = "exact", .temporary = {}, .in_use = {}};
  if (is_stock_cpu(choice) && needs_eight_bit_weights(attempt.model)) {
    TRY(prepared,
        prepare_eight_bit_model(attempt.folder, attempt.model, attempt.options.cache_folder,
                                attempt.stop, attempt.progress));
  }
  TRY(OpenSession session, open_session(prepared.file, choice, attempt.options, attempt.stop));
  session.in_use = std::move(prepared.in_use);
  const ModelConfig& config = attempt.folder.config;
  TRY(const GraphInterface graph, inspect_session(session.session, config));
  TRY(const DecoderSizes sizes, sizes_of(attempt, graph));
  const std::string kind = fmt::format("{}-{}", choice.name, prepared.weights);
  if (!has_group_query_attention(attempt.model)) {
    return make_growing_decoder(std::move(session), config, graph, sizes, kind);
  }
  const ProviderOptions provider_options = [&](Ort::Env& environment) {
    return make_provider_options(environment, choice, attempt.options);
  };
  return make_shared_decoder(std::move(session), config, graph, sizes, kind, provider_options);
}

/// Our own provider: the paged form of the graph, or, where it has none and the user named this
/// provider, the graph as it is.
Result<std::unique_ptr<Decoder>> load_own(const Attempt& attempt,
                                          const ExecutionProviderChoice& choice) {
  constexpr std::string_view kPackedPurpose = "packed";
  TRY(const std::string identity, model_identity(attempt.folder, attempt.model, kPackedPurpose));
  TRY(ExecutionProviderChoice own, with_own_library(choice));
  // Keeps the library registered until the session does.
  TRY(Ort::Env environment, make_environment(attempt.options.log_level));
  TRY(const std::string set, own_instruction_set(environment, own));
  own = complete_own_provider(std::move(own), attempt.options, set, identity,
                              attempt.folder.model_file());
  const ModelConfig& config = attempt.folder.config;
  const auto folder = attempt.folder.model_file().parent_path();
  auto model = make_paged_model(attempt.model, config, folder, attempt.options.kv_cache_type);
  if (!model) {
    const bool was_named = !attempt.options.execution_providers.empty();
    if (model.error().code != ErrorCode::kUnsupported || !was_named) {
      return std::unexpected(std::move(model).error());
    }
    LOG_INFO("{}: no paged form: {}", attempt.folder.name, model.error().message);
    return load_standard(attempt, own);
  }
  TRY(DecoderSizes sizes, sizes_of(attempt));
  TRY(PagePool pool, make_page_pool(model->geometry, attempt.options.kv_bytes_max, sizes));
  auto session = open_session_from_memory(model->bytes, folder, own, attempt.options, attempt.stop);
  if (!session) {
    // What the paged form lacks, the standard one may have.
    Error error = std::move(session).error();
    if (error.code == ErrorCode::kUnsupported) error.code = ErrorCode::kUnavailable;
    return std::unexpected(std::move(error));
  }
  model->bytes = {};
  const std::string kind = fmt::format("{}-{}", own.name, set);
  return make_paged_decoder(*std::move(session), config, *model, sizes, kind, std::move(pool));
}

Result<std::unique_ptr<Decoder>> load_on(const Attempt& attempt,
                                         const ExecutionProviderChoice& choice) {
  TRY(std::unique_ptr<Decoder> decoder,
      is_own_provider(choice) ? load_own(attempt, choice) : load_standard(attempt, choice));
  TRY_VOID(check_first_run(*decoder, attempt.folder.config));
  trim_heap();
  return decoder;
}

/// Why no provider took the model. What the stock provider says of the model itself is the answer:
/// another provider cannot mend a file.
Error no_provider(const Error& last, const std::vector<std::string>& reasons) {
  if (last.code == ErrorCode::kModelCorrupt || last.code == ErrorCode::kUnsupported ||
      last.code == ErrorCode::kDiskFull) {
    return last;
  }
  return unavailable(
      fmt::format("no execution provider runs the model: {}", fmt::join(reasons, "; ")), last.hint);
}

}  // namespace

Result<LoadedDecoder> load_decoder(const ModelFolder& folder, const RuntimeOptions& options,
                                   std::stop_token stop, const ProgressSink& progress) {
  onnx::ModelProto model;
  TRY_VOID(read_onnx_file(folder.model_file(), model));
  TRY_VOID(check_external_data(model, folder.model_file().parent_path()));
  const std::vector<ExecutionProviderChoice> choices = options.execution_providers.empty()
                                                           ? default_execution_providers()
                                                           : options.execution_providers;
  const Attempt attempt{folder, options, model, stop, progress};
  std::vector<std::string> reasons;
  Error last;
  for (const ExecutionProviderChoice& choice : choices) {
    if (stop.stop_requested()) return std::unexpected(cancelled());
    auto decoder = load_on(attempt, choice);
    if (decoder) {
      return LoadedDecoder{.decoder = *std::move(decoder),
                           .execution_provider = choice.name,
                           .warnings = std::move(reasons)};
    }
    last = std::move(decoder).error();
    if (last.code == ErrorCode::kCancelled) return std::unexpected(std::move(last));
    // Nothing is wrong where a graph of another kind goes to the provider that is made for it.
    if (is_own_provider(choice) && options.execution_providers.empty() &&
        last.code == ErrorCode::kUnsupported) {
      LOG_INFO("{} leaves the model to the next provider: {}", choice.name, last.message);
      continue;
    }
    reasons.push_back(fmt::format("execution provider {}: {}", choice.name, last.message));
    if (&choice != &choices.back()) {
      LOG_WARNING("{}; trying {}", reasons.back(), (&choice + 1)->name);
    }
  }
  return std::unexpected(no_provider(last, reasons));
}

}  // namespace onnxlocal
