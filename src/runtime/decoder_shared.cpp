#include "runtime/decoder_shared.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/check.h"
#include "runtime/kv_geometry.h"
#include "runtime/logits_rows.h"
#include "runtime/ort_error.h"
#include "runtime/slot_rows.h"

namespace onnxlocal {

namespace {

using Shape = std::vector<std::int64_t>;

/// Whole pages for each head, so that what a slot gives back is its own.
std::uint32_t round_capacity(std::uint32_t tokens, std::size_t vector_bytes) {
  const std::size_t step = kKvPageBytes / std::gcd(kKvPageBytes, vector_bytes);
  return static_cast<std::uint32_t>((tokens + step - 1) / step * step);
}

class DecoderShared final : public Decoder {
 public:
  DecoderShared(OpenSession session, const ModelConfig& config, const GraphInterface& graph,
                const DecoderSizes& sizes, std::string kind)
      : session_(std::move(session)),
        names_(config.names),
        graph_(graph),
        geometry_(graph),
        capacity_(round_capacity(sizes.slot_tokens_max, geometry_.vector_bytes())),
        layout_(make_kv_layout(geometry_, graph, kind)),
        host_info_(Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault)),
        run_options_(),
        row_of_slot_(sizes.slots),
        lengths_(sizes.slots, 0),
        ones_(capacity_, 1) {
    limits_ = {.vocabulary_size = graph.vocabulary_size,
               .slots = sizes.slots,
               .slot_tokens_max = sizes.slot_tokens_max,
               .chunk_tokens_max = sizes.chunk_tokens_max,
               .mixing = StepMixing::kChunkOrSingles,
               .kv_bytes_per_token = geometry_.token_bytes()};
    std::iota(row_of_slot_.begin(), row_of_slot_.end(), 0U);
  }

  /// Call once, before anything else.
  Result<void> allocate(const ProviderOptions& provider_options) {
    const std::size_t count = std::size_t{2} * geometry_.layers;
    const std::size_t bytes = row_bytes() * limits_.slots;
    if (const OrtMemoryInfo* const device = device_of_past()) {
      TRY(memory_, make_device_kv_memory(session_.environment, session_.session, device,
                                         provider_options, count, bytes));
    } else {
      TRY(memory_, make_host_kv_memory(count, bytes));
    }
    return {};
  }

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

  std::uint32_t length(SlotId slot) const override { return lengths_[row_of(slot)]; }

  void truncate(SlotId slot, std::uint32_t tokens) override {
    const std::uint32_t row = row_of(slot);
    CHECK(tokens <= lengths_[row]);
    if (tokens == 0) {
      for_each_head(row, [&](std::byte* head) {
        memory_->release(head, lengths_[row] * geometry_.vector_bytes());
      });
    }
    lengths_[row] = tokens;
  }

  Result<void> copy_prefix(SlotId from, SlotId to, std::uint32_t tokens) override {
    CHECK(from != to && length(to) == 0 && tokens <= length(from));
    settle_empty_row(to);
    TRY_VOID(copy_row(row_of(from), row_of(to), tokens));
    lengths_[row_of(to)] = tokens;
    return {};
  }

  Result<void> export_blocks(SlotId slot, std::uint32_t first_block,
                             std::span<std::byte> bytes) const override {
    const std::size_t blocks = bytes.size() / layout_.block_bytes;
    CHECK(bytes.size() % layout_.block_bytes == 0);
    CHECK((first_block + blocks) * kBlockTokens <= length(slot));
    const std::size_t part = kBlockTokens * geometry_.vector_bytes();
    for (std::size_t block = 0; block < blocks; ++block) {
      std::byte* to = bytes.data() + block * layout_.block_bytes;
      TRY_VOID(try_each_head(row_of(slot), [&](std::byte* head) {
        auto copied = memory_->copy_out(head + (first_block + block) * part, {to, part});
        to += part;
        return copied;
      }));
    }
    return {};
  }

  Result<void> import_blocks(SlotId slot, std::span<const std::byte> bytes) override {
    const std::size_t blocks = bytes.size() / layout_.block_bytes;
    const std::uint32_t first_block = length(slot) / kBlockTokens;
    CHECK(bytes.size() % layout_.block_bytes == 0 && length(slot) % kBlockTokens == 0);
    CHECK((first_block + blocks) * kBlockTokens <= limits_.slot_tokens_max);
    if (first_block == 0) settle_empty_row(slot);
    const std::size_t part = kBlockTokens * geometry_.vector_bytes();
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::byte* from = bytes.data() + block * layout_.block_bytes;
      TRY_VOID(try_each_head(row_of(slot), [&](std::byte* head) {
        auto copied = memory_->copy_in({from, part}, head + (first_block + block) * part);
        from += part;
        return copied;
      }));
    }
    lengths_[row_of(slot)] += static_cast<std::uint32_t>(blocks * kBlockTokens);
    return {};
  }

 private:
  /// The inputs of one run; ORT's tensors borrow these.
  struct Inputs {
    std::vector<std::int64_t> ids;
    std::vector<std::int64_t> mask;
    std::vector<std::int64_t> positions;
    std::vector<std::int64_t> logits_positions;
  };

  std::uint32_t row_of(SlotId slot) const {
    CHECK(slot.value < row_of_slot_.size());
    return row_of_slot_[slot.value];
  }
  std::size_t head_bytes() const { return capacity_ * geometry_.vector_bytes(); }
  std::size_t row_bytes() const { return geometry_.heads * head_bytes(); }

  template <class Visit>
  Result<void> try_each_head(std::uint32_t row, const Visit& visit) const {
    for (std::size_t buffer = 0; buffer < std::size_t{2} * geometry_.layers; ++buffer) {
      std::byte* const begin = memory_->buffer(buffer) + row * row_bytes();
      for (std::size_t head = 0; head < geometry_.heads; ++head) {
        TRY_VOID(visit(begin + head * head_bytes()));
      }
    }
    return {};
  }
  template <class Visit>
  void for_each_head(std::uint32_t row, const Visit& visit) const {
    static_cast<void>(try_each_head(row, [&](std::byte* head) -> Result<void> {
      visit(head);
      return {};
    }));
  }

  void check_steps(std::span<const Step> steps) const {
    CHECK(!steps.empty() && steps.size() <= limits_.slots);
    for (const Step& step : steps) {
      CHECK(!step.tokens.empty() && step.tokens.size() <= limits_.chunk_tokens_max);
      CHECK(steps.size() == 1 || step.tokens.size() == 1);
      CHECK(length(step.slot) + step.tokens.size() <= limits_.slot_tokens_max);
    }
  }

  /// Memory of the provider's device, where it has one whose addresses can be counted with: CUDA's
  /// and HIP's. Elsewhere the graph's caches stay on the host and ONNX Runtime copies.
  const OrtMemoryInfo* device_of_past() const {
    const std::vector<std::string> inputs = session_.session.GetInputNames();
    const auto past = std::ranges::find(inputs, layer_name(names_.past_key, 0));
    const auto infos = session_.session.GetMemoryInfoForInputs();
    const auto index = static_cast<std::size_t>(past - inputs.begin());
    if (index >= infos.size()) return nullptr;
    const std::string name = infos[index].GetAllocatorName();
    return name == "Cuda" || name == "Hip" ? static_cast<const OrtMemoryInfo*>(infos[index])
                                           : nullptr;
  }

  /// Gives an empty slot the lowest empty row.
  void settle_empty_row(SlotId slot) {
    if (length(slot) > 0) return;
    const auto row = lowest_empty_row(lengths_);
    if (row && *row < row_of(slot)) rename_rows(*row, row_of(slot));
  }

  /// Row a's slot gets row b, and b's gets a; contents stay where they are.
  void rename_rows(std::uint32_t a, std::uint32_t b) {
    const auto slot_a = std::ranges::find(row_of_slot_, a);
    const auto slot_b = std::ranges::find(row_of_slot_, b);
    std::iter_swap(slot_a, slot_b);
  }

  Result<void> copy_row(std::uint32_t from, std::uint32_t to, std::uint32_t tokens) {
    const auto distance = (static_cast<std::ptrdiff_t>(to) - static_cast<std::ptrdiff_t>(from)) *
                          static_cast<std::ptrdiff_t>(row_bytes());
    return try_each_head(from, [&](std::byte* head) {
      return memory_->copy(head, head + distance, tokens * geometry_.vector_bytes());
    });
  }

  /// Contents and slots of two rows trade places.
  Result<void> swap_rows(std::uint32_t a, std::uint32_t b) {
    if (lengths_[a] == 0) std::swap(a, b);
    if (lengths_[b] == 0) {
      TRY_VOID(copy_row(a, b, lengths_[a]));
      for_each_head(a, [&](std::byte* head) {
        memory_->release(head, lengths_[a] * geometry_.vector_bytes());
      });
    } else {
      TRY_VOID(swap_contents(a, b));
    }
    std::swap(lengths_[a], lengths_[b]);
    rename_rows(a, b);
    return {};
  }

  Result<void> swap_contents(std::uint32_t a, std::uint32_t b) {
    const std::size_t bytes_a = lengths_[a] * geometry_.vector_bytes();
    const std::size_t bytes_b = lengths_[b] * geometry_.vector_bytes();
    const auto distance = (static_cast<std::ptrdiff_t>(b) - static_cast<std::ptrdiff_t>(a)) *
                          static_cast<std::ptrdiff_t>(row_bytes());
    std::vector<std::byte> kept(bytes_a);
    return try_each_head(a, [&](std::byte* head) -> Result<void> {
      TRY_VOID(memory_->copy_out(head, kept));
      TRY_VOID(memory_->copy(head + distance, head, bytes_b));
      return memory_->copy_in(kept, head + distance);
    });
  }

  /// Makes the steps' rows adjacent. Returns the first.
  Result<std::uint32_t> gather_rows(std::span<const Step> steps) {
    std::vector<std::uint32_t> wanted;
    for (const Step& step : steps) {
      settle_empty_row(step.slot);
      wanted.push_back(row_of(step.slot));
    }
    if (steps.size() == 1) return wanted.front();
    const RowPlan plan = plan_rows(lengths_, wanted);
    for (const RowPlan::Swap& swap : plan.swaps) {
      TRY_VOID(swap_rows(swap.outside, swap.inside));
    }
    return plan.first;
  }

  Result<Logits> try_forward(std::span<const Step> steps) {
    TRY(const std::uint32_t first, gather_rows(steps));
    const std::vector<std::uint32_t> order = steps_by_row(steps);
    fill_inputs(steps, order);
    const std::size_t chunk = steps.front().tokens.size();
    try {
      TRY(Ort::Value logits, run(first, steps.size(), chunk));
      for (const Step& step : steps) {
        lengths_[row_of(step.slot)] += static_cast<std::uint32_t>(step.tokens.size());
      }
      return collect(steps, first, logits);
    } catch (const Ort::Exception& exception) {
      return std::unexpected(to_error("the model's step failed", exception));
    }
  }

  std::vector<std::uint32_t> steps_by_row(std::span<const Step> steps) const {
    std::vector<std::uint32_t> order(steps.size());
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::sort(order, {}, [&](std::uint32_t i) { return row_of(steps[i].slot); });
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

  /// The binding of rows [first, first + rows): keys and values stay bound from step to step.
  Ort::IoBinding& binding_of(std::uint32_t first, std::size_t rows) {
    const auto key = std::pair(first, static_cast<std::uint32_t>(rows));
    if (const auto found = bindings_.find(key); found != bindings_.end()) return found->second;
    Ort::IoBinding binding(session_.session);
    const Shape shape{static_cast<std::int64_t>(rows), geometry_.heads, capacity_,
                      geometry_.head_dim};
    for (std::uint32_t layer = 0; layer < geometry_.layers; ++layer) {
      for (const bool is_key : {true, false}) {
        const std::size_t buffer = std::size_t{2} * layer + (is_key ? 0 : 1);
        const Ort::Value view = Ort::Value::CreateTensor(
            memory_->info(), memory_->buffer(buffer) + first * row_bytes(), rows * row_bytes(),
            shape.data(), shape.size(), graph_.kv_type);
        binding.BindInput(layer_name(is_key ? names_.past_key : names_.past_value, layer).c_str(),
                          view);
        binding.BindOutput(
            layer_name(is_key ? names_.present_key : names_.present_value, layer).c_str(), view);
      }
    }
    return bindings_.emplace(key, std::move(binding)).first->second;
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
    return logits;
  }

  /// Picks the wanted rows, in the order of the steps, out of [batch, positions, vocabulary].
  Result<Logits> collect(std::span<const Step> steps, std::uint32_t first,
                         const Ort::Value& logits) {
    const Shape shape = logits.GetTensorTypeAndShapeInfo().GetShape();
    const std::size_t width = limits_.vocabulary_size;
    const std::size_t chunk = steps.front().tokens.size();
    if (shape.size() != 3 || shape[0] != static_cast<std::int64_t>(steps.size()) || shape[1] < 1 ||
        shape[2] != static_cast<std::int64_t>(width)) {
      return std::unexpected(internal_error(
          fmt::format("the model's logits have an unexpected shape [{}]", fmt::join(shape, ", "))));
    }
    const auto positions = static_cast<std::size_t>(shape[1]);
    const auto* const data = static_cast<const std::byte*>(logits.GetTensorRawData());
    logits_.clear();
    for (const Step& step : steps) {
      const std::size_t begin = (row_of(step.slot) - first) * positions;
      if (step.logits == LogitsWanted::kAll && positions != chunk) {
        return std::unexpected(unsupported("the model gives logits for the last position alone"));
      }
      const std::size_t from = step.logits == LogitsWanted::kAll ? 0 : positions - 1;
      const std::size_t to = step.logits == LogitsWanted::kNone ? from : positions;
      for (std::size_t i = from; i < to; ++i) {
        append_logits_row(data, graph_.logits_type, begin + i, width, logits_);
      }
    }
    return Logits{.values = logits_, .rows = count_rows(steps)};
  }

  // Constant after `allocate`.
  OpenSession session_;
  GraphNames names_;
  GraphInterface graph_;
  KvGeometry geometry_;
  std::uint32_t capacity_;
  DecoderLimits limits_;
  KvLayout layout_;
  std::unique_ptr<KvMemory> memory_;
  Ort::MemoryInfo host_info_;
  Ort::RunOptions run_options_;
  // The engine thread's.
  std::vector<std::uint32_t> row_of_slot_;
  std::vector<std::uint32_t> lengths_;  ///< Of each row.
  std::map<std::pair<std::uint32_t, std::uint32_t>, Ort::IoBinding> bindings_;
  std::vector<std::int64_t> ones_;  ///< The mask of a row alone.
  Inputs inputs_;
  std::uint32_t total_ = 0;
  std::vector<float> logits_;
};

}  // namespace

Result<std::unique_ptr<Decoder>> make_shared_decoder(OpenSession session, const ModelConfig& config,
                                                     const GraphInterface& graph,
                                                     const DecoderSizes& sizes, std::string kind,
                                                     const ProviderOptions& provider_options) {
  try {
    auto decoder =
        std::make_unique<DecoderShared>(std::move(session), config, graph, sizes, std::move(kind));
    TRY_VOID(decoder->allocate(provider_options));
    return decoder;
  } catch (const Ort::Exception& exception) {
    return std::unexpected(to_error("the decoder's buffers", exception));
  }
}

}  // namespace onnxlocal
