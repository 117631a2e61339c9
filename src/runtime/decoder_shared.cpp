#include "runtime/decoder_shared.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <iterator>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "runtime/kv_geometry.h"
#include "runtime/kv_rows.h"
#include "runtime/logits_rows.h"
#include "runtime/ort_error.h"

namespace onnxlocal {

namespace {

using Shape = std::vector<std::int64_t>;

/// Bindings that are kept. Sequences that come and go make as many pairs of (first, rows) as slots
/// squared, at 0.1 MB each, while what runs for a while needs two, a chunk's and the batch's.
constexpr std::size_t kBindingsMax = 8;

class DecoderShared final : public Decoder {
 public:
  DecoderShared(OpenSession session, const ModelConfig& config, const GraphInterface& graph,
                const DecoderSizes& sizes, std::string_view kind, std::unique_ptr<KvMemory> memory)
      : session_(std::move(session)),
        names_(config.names),
        graph_(graph),
        geometry_(graph),
        limits_{.vocabulary_size = graph.vocabulary_size,
                .slots = sizes.slots,
                .slot_tokens_max = sizes.slot_tokens_max,
                .chunk_tokens_max = sizes.chunk_tokens_max,
                .mixing = StepMixing::kChunkOrSingles,
                .kv_bytes_per_token = geometry_.token_bytes()},
        layout_(make_kv_layout(geometry_, graph, kind)),
        host_info_(Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault)),
        rows_(geometry_, sizes.slots, sizes.slot_tokens_max, std::move(memory)),
        ones_(rows_.capacity(), 1) {}

  const DecoderLimits& limits() const override { return limits_; }
  const KvLayout& layout() const override { return layout_; }

  Result<Logits> forward(std::span<const Step> steps) override {
    check_steps(steps);
    auto done = try_forward(steps);
    if (!done) {
      for (const Step& step : steps) truncate(step.slot, 0);
    }
    return done;
  }

  std::uint32_t length(SlotId slot) const override { return rows_.length(slot); }
  void truncate(SlotId slot, std::uint32_t tokens) override {
    rows_.truncate(slot, tokens);
    // Between two sequences: trimming after every chunk would only fault the pages in again.
    if (tokens == 0 && (ran_chunk_ || rows_.is_empty())) {
      trim_heap();
      ran_chunk_ = false;
    }
  }
  Result<void> copy_prefix(SlotId from, SlotId to, std::uint32_t tokens) override {
    return rows_.copy_prefix(from, to, tokens);
  }
  Result<void> export_blocks(SlotId slot, std::uint32_t first_block,
                             std::span<std::byte> bytes) const override {
    return rows_.export_blocks(slot, first_block, bytes);
  }
  Result<void> import_blocks(SlotId slot, std::span<const std::byte> bytes) override {
    return rows_.import_blocks(slot, bytes);
  }

 private:
  /// The inputs of one run; ORT's tensors borrow these.
  struct Inputs {
    std::vector<std::int64_t> ids;
    std::vector<std::int64_t> mask;
    std::vector<std::int64_t> positions;
    std::vector<std::int64_t> logits_positions;
  };
  /// Keys and values of rows [first, first + rows), bound.
  struct BoundRows {
    std::uint32_t first = 0;
    std::size_t rows = 0;
    Ort::IoBinding binding;
  };

  void check_steps(std::span<const Step> steps) const {
    CHECK(!steps.empty() && steps.size() <= limits_.slots);
    for (const Step& step : steps) {
      CHECK(!step.tokens.empty() && step.tokens.size() <= limits_.chunk_tokens_max);
      CHECK(steps.size() == 1 || step.tokens.size() == 1);
      CHECK(length(step.slot) + step.tokens.size() <= limits_.slot_tokens_max);
    }
  }

  Result<Logits> try_forward(std::span<const Step> steps) {
    std::vector<SlotId> slots;
    for (const Step& step : steps) slots.push_back(step.slot);
    TRY(const std::uint32_t first, rows_.gather(slots));
    fill_inputs(steps, steps_by_row(steps));
    try {
      TRY(const Ort::Value logits, run(first, steps.size(), steps.front().tokens.size()));
      for (const Step& step : steps) rows_.grow(step.slot, step.tokens.size());
      ran_chunk_ = ran_chunk_ || steps.front().tokens.size() > 1;
      return collect(steps, first, logits);
    } catch (const Ort::Exception& exception) {
      return std::unexpected(to_error("the model's step failed", exception));
    }
  }

  std::vector<std::uint32_t> steps_by_row(std::span<const Step> steps) const {
    std::vector<std::uint32_t> order(steps.size());
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::sort(order, {}, [&](std::uint32_t i) { return rows_.row_of(steps[i].slot); });
    return order;
  }

  void fill_inputs(std::span<const Step> steps, std::span<const std::uint32_t> order) {
    inputs_.ids.clear();
    inputs_.positions.clear();
    total_ = 0;
    for (const std::uint32_t i : order) {
      const std::uint32_t past = length(steps[i].slot);
      inputs_.ids.insert(inputs_.ids.end(), steps[i].tokens.begin(), steps[i].tokens.end());
      for (std::size_t t = 0; t < steps[i].tokens.size(); ++t) {
        inputs_.positions.push_back(static_cast<std::int64_t>(past + t));
      }
      total_ = std::max(total_, past + static_cast<std::uint32_t>(steps[i].tokens.size()));
    }
    if (steps.size() > 1) fill_mask(steps, order);
    inputs_.logits_positions.assign(1, -1);
    if (steps.size() == 1 && steps.front().logits == LogitsWanted::kAll) {
      inputs_.logits_positions.resize(steps.front().tokens.size());
      std::iota(inputs_.logits_positions.begin(), inputs_.logits_positions.end(), 0);
    }
  }

  /// Each row's sum is its length: the operator derives the lengths from the mask.
  void fill_mask(std::span<const Step> steps, std::span<const std::uint32_t> order) {
    inputs_.mask.assign(order.size() * total_, 0);
    for (std::size_t row = 0; row < order.size(); ++row) {
      const std::uint32_t tokens = length(steps[order[row]].slot) + 1;
      std::fill_n(inputs_.mask.begin() + static_cast<std::ptrdiff_t>(row * total_), tokens, 1);
    }
  }

  Ort::Value tensor(std::vector<std::int64_t>& data, const Shape& shape) {
    return Ort::Value::CreateTensor<std::int64_t>(
        host_info_, data.data(),
        static_cast<std::size_t>(
            std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>())),
        shape.data(), shape.size());
  }

  /// The binding of rows [first, first + rows): keys and values stay bound from step to step. The
  /// one that was used last stands first.
  Ort::IoBinding& binding_of(std::uint32_t first, std::size_t rows) {
    auto found = std::ranges::find_if(
        bindings_, [&](const auto& bound) { return bound.first == first && bound.rows == rows; });
    if (found == bindings_.end()) {
      if (bindings_.size() == kBindingsMax) bindings_.pop_back();
      bindings_.push_back({.first = first, .rows = rows, .binding = bind(first, rows)});
      found = std::prev(bindings_.end());
    }
    std::rotate(bindings_.begin(), found, std::next(found));
    return bindings_.front().binding;
  }

  Ort::IoBinding bind(std::uint32_t first, std::size_t rows) {
    Ort::IoBinding binding(session_.session);
    const KvMemory& memory = rows_.memory();
    const Shape shape{static_cast<std::int64_t>(rows), geometry_.heads, rows_.capacity(),
                      geometry_.head_dim};
    for (std::uint32_t layer = 0; layer < geometry_.layers; ++layer) {
      for (const bool is_key : {true, false}) {
        const std::size_t buffer = std::size_t{2} * layer + (is_key ? 0 : 1);
        const Ort::Value view = Ort::Value::CreateTensor(
            memory.info(), memory.buffer(buffer) + first * rows_.row_bytes(),
            rows * rows_.row_bytes(), shape.data(), shape.size(), graph_.kv_type);
        binding.BindInput(layer_name(is_key ? names_.past_key : names_.past_value, layer).c_str(),
                          view);
        binding.BindOutput(
            layer_name(is_key ? names_.present_key : names_.present_value, layer).c_str(), view);
      }
    }
    return binding;
  }

  Result<Ort::Value> run(std::uint32_t first, std::size_t rows, std::size_t chunk) {
    Ort::IoBinding& binding = binding_of(first, rows);
    const auto batch = static_cast<std::int64_t>(rows);
    const auto sequence = static_cast<std::int64_t>(chunk);
    binding.BindInput(names_.input_ids.c_str(), tensor(inputs_.ids, {batch, sequence}));
    if (graph_.has_attention_mask) {
      binding.BindInput(names_.attention_mask.c_str(),
                        tensor(rows == 1 ? ones_ : inputs_.mask, {batch, total_}));
    }
    if (graph_.has_position_ids) {
      binding.BindInput(names_.position_ids.c_str(), tensor(inputs_.positions, {batch, sequence}));
    }
    if (graph_.has_logits_positions) {
      const auto count = static_cast<std::int64_t>(inputs_.logits_positions.size());
      binding.BindInput(names_.logits_positions.c_str(), tensor(inputs_.logits_positions, {count}));
    }
    binding.BindOutput(names_.logits.c_str(), host_info_);
    session_.session.Run(run_options_, binding);
    std::vector<Ort::Value> outputs = binding.GetOutputValues();
    // Outputs come in the order of their binding: logits are always the last.
    Ort::Value logits = std::move(outputs.back());
    // Bound anew, or the binding would hold these logits until it runs again.
    binding.BindOutput(names_.logits.c_str(), host_info_);
    return logits;
  }

  /// Picks the wanted rows, in the order of the steps, out of [batch, positions, vocabulary].
  Result<Logits> collect(std::span<const Step> steps, std::uint32_t first,
                         const Ort::Value& logits) {
    TRY(const LogitsTensor tensor,
        view_logits(logits, graph_.logits_type, steps.size(), limits_.vocabulary_size));
    logits_.clear();
    for (const Step& step : steps) {
      TRY_VOID(append_wanted_rows(tensor, rows_.row_of(step.slot) - first, step, logits_));
    }
    return Logits{.values = logits_, .rows = count_rows(steps)};
  }

  // Constant after construction.
  OpenSession session_;
  GraphNames names_;
  GraphInterface graph_;
  KvGeometry geometry_;
  DecoderLimits limits_;
  KvLayout layout_;
  Ort::MemoryInfo host_info_;
  Ort::RunOptions run_options_;
  // The engine thread's. The bindings point into the rows' memory.
  KvRows rows_;
  std::vector<BoundRows> bindings_;  ///< At most kBindingsMax.
  std::vector<std::int64_t> ones_;   ///< The mask of a row alone.
  Inputs inputs_;
  std::uint32_t total_ = 0;
  bool ran_chunk_ = false;  ///< Since the heap was trimmed.
  std::vector<float> logits_;
};

/// Memory of the provider's device, where it has one whose addresses can be counted with: CUDA's
/// and HIP's. Elsewhere the graph's caches stay on the host and ONNX Runtime copies.
std::optional<Ort::ConstMemoryInfo> device_of_past(const Ort::Session& session,
                                                   const GraphNames& names) {
  const std::vector<std::string> inputs = session.GetInputNames();
  const auto past = std::ranges::find(inputs, layer_name(names.past_key, 0));
  const auto infos = session.GetMemoryInfoForInputs();
  const auto index = static_cast<std::size_t>(past - inputs.begin());
  if (index >= infos.size()) return std::nullopt;
  const std::string name = infos[index].GetAllocatorName();
  if (name != "Cuda" && name != "Hip") return std::nullopt;
  return infos[index];
}

}  // namespace

Result<std::unique_ptr<Decoder>> make_shared_decoder(OpenSession session, const ModelConfig& config,
                                                     const GraphInterface& graph,
                                                     const DecoderSizes& sizes,
                                                     std::string_view kind,
                                                     const ProviderOptions& provider_options) {
  const KvGeometry geometry(graph);
  const std::size_t count = std::size_t{2} * geometry.layers;
  const std::size_t bytes = KvRows::buffer_bytes(geometry, sizes.slots, sizes.slot_tokens_max);
  try {
    std::unique_ptr<KvMemory> memory;
    if (const auto device = device_of_past(session.session, config.names)) {
      TRY(memory, make_device_kv_memory(session.environment, session.session, *device,
                                        provider_options, count, bytes));
    } else {
      TRY(memory, make_host_kv_memory(count, bytes));
    }
    return make_shared_decoder_over(std::move(session), config, graph, sizes, kind,
                                    std::move(memory));
  } catch (const Ort::Exception& exception) {
    return std::unexpected(to_error("the decoder's buffers", exception));
  }
}

std::unique_ptr<Decoder> make_shared_decoder_over(OpenSession session, const ModelConfig& config,
                                                  const GraphInterface& graph,
                                                  const DecoderSizes& sizes, std::string_view kind,
                                                  std::unique_ptr<KvMemory> memory) {
  return std::make_unique<DecoderShared>(std::move(session), config, graph, sizes, kind,
                                         std::move(memory));
}

}  // namespace onnxlocal
