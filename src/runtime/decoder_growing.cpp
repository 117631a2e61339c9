#include "runtime/decoder_growing.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "runtime/kv_geometry.h"
#include "runtime/logits_rows.h"
#include "runtime/ort_error.h"

namespace onnxlocal {

namespace {

class DecoderGrowing final : public Decoder {
 public:
  DecoderGrowing(OpenSession session, const ModelConfig& config, const GraphInterface& graph,
                 const DecoderSizes& sizes, std::string_view kind)
      : session_(std::move(session)),
        names_(config.names),
        graph_(graph),
        geometry_(graph),
        layout_(make_kv_layout(geometry_, graph, kind)),
        host_info_(Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault)),
        slots_(sizes.slots) {
    limits_ = {.vocabulary_size = graph.vocabulary_size,
               .slots = sizes.slots,
               .slot_tokens_max = sizes.slot_tokens_max,
               .chunk_tokens_max = sizes.chunk_tokens_max,
               .mixing = StepMixing::kChunkOrSingles,
               .kv_bytes_per_token = geometry_.token_bytes()};
    ones_.assign(sizes.slot_tokens_max, 1);
    for (std::uint32_t layer = 0; layer < graph.layers; ++layer) {
      past_names_.push_back(layer_name(names_.past_key, layer));
      past_names_.push_back(layer_name(names_.past_value, layer));
      present_names_.push_back(layer_name(names_.present_key, layer));
      present_names_.push_back(layer_name(names_.present_value, layer));
    }
  }

  const DecoderLimits& limits() const override { return limits_; }
  const KvLayout& layout() const override { return layout_; }

  Result<Logits> forward(std::span<const Step> steps) override {
    CHECK(!steps.empty());
    logits_.clear();
    Result<void> done;
    for (const Step& step : steps) {
      done = run_step(step);
      if (!done) break;
    }
    if (!done) {
      for (const Step& step : steps) truncate(step.slot, 0);
      return std::unexpected(done.error());
    }
    return Logits{.values = logits_, .rows = count_rows(steps)};
  }

  std::uint32_t length(SlotId slot) const override { return state_of(slot).length; }

  void truncate(SlotId slot, std::uint32_t tokens) override {
    CHECK(tokens <= length(slot));
    if (tokens < length(slot)) resize(state_of(slot), tokens);
  }

  Result<void> copy_prefix(SlotId from, SlotId to, std::uint32_t tokens) override {
    CHECK(from != to && length(to) == 0 && tokens <= length(from));
    if (tokens == 0) return {};
    Slot copied;
    for (const Ort::Value& value : state_of(from).past) {
      copied.past.push_back(resized(value, length(from), tokens));
    }
    copied.length = tokens;
    state_of(to) = std::move(copied);
    return {};
  }

  Result<void> export_blocks(SlotId slot, std::uint32_t first_block,
                             std::span<std::byte> bytes) const override {
    const std::size_t blocks = bytes.size() / layout_.block_bytes;
    CHECK((first_block + blocks) * kBlockTokens <= length(slot));
    const std::size_t part = kBlockTokens * geometry_.vector_bytes();
    const std::size_t head_bytes = length(slot) * geometry_.vector_bytes();
    for (std::size_t block = 0; block < blocks; ++block) {
      std::byte* to = bytes.data() + block * layout_.block_bytes;
      for (const Ort::Value& value : state_of(slot).past) {
        const auto* const from = static_cast<const std::byte*>(value.GetTensorRawData());
        for (std::size_t head = 0; head < geometry_.heads; ++head, to += part) {
          std::memcpy(to, from + head * head_bytes + (first_block + block) * part, part);
        }
      }
    }
    return {};
  }

  Result<void> import_blocks(SlotId slot, std::span<const std::byte> bytes) override {
    const std::size_t blocks = bytes.size() / layout_.block_bytes;
    const std::uint32_t first = length(slot);
    CHECK(first % kBlockTokens == 0);
    if (blocks == 0) return {};
    Slot& state = state_of(slot);
    resize(state, first + static_cast<std::uint32_t>(blocks * kBlockTokens));
    const std::size_t part = kBlockTokens * geometry_.vector_bytes();
    const std::size_t head_bytes = state.length * geometry_.vector_bytes();
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::byte* from = bytes.data() + block * layout_.block_bytes;
      for (Ort::Value& value : state.past) {
        auto* const to = static_cast<std::byte*>(value.GetTensorMutableRawData());
        for (std::size_t head = 0; head < geometry_.heads; ++head, from += part) {
          std::memcpy(to + head * head_bytes + (first / kBlockTokens + block) * part, from, part);
        }
      }
    }
    return {};
  }

 private:
  struct Slot {
    std::vector<Ort::Value> past;  ///< [layer][key, value], each [1, heads, length, head_dim].
    std::uint32_t length = 0;
  };

  Slot& state_of(SlotId slot) {
    CHECK(slot.value < slots_.size());
    return slots_[slot.value];
  }
  const Slot& state_of(SlotId slot) const {
    CHECK(slot.value < slots_.size());
    return slots_[slot.value];
  }

  Ort::Value new_past(std::uint32_t tokens) const {
    const std::array<std::int64_t, 4> shape{1, geometry_.heads, tokens, geometry_.head_dim};
    const Ort::AllocatorWithDefaultOptions allocator;
    return Ort::Value::CreateTensor(allocator, shape.data(), shape.size(), graph_.kv_type);
  }

  /// A copy of `value` with `to` tokens; the tokens past `from` are not set.
  Ort::Value resized(const Ort::Value& value, std::uint32_t from, std::uint32_t to) const {
    Ort::Value result = new_past(to);
    const auto* const source = static_cast<const std::byte*>(value.GetTensorRawData());
    auto* const target = static_cast<std::byte*>(result.GetTensorMutableRawData());
    const std::size_t bytes = geometry_.vector_bytes();
    for (std::size_t head = 0; head < geometry_.heads; ++head) {
      std::memcpy(target + head * to * bytes, source + head * from * bytes,
                  std::min(from, to) * bytes);
    }
    return result;
  }

  void resize(Slot& slot, std::uint32_t tokens) {
    if (tokens == 0) {
      slot = Slot{};
      return;
    }
    if (slot.past.empty()) {
      for (std::size_t i = 0; i < past_names_.size(); ++i) slot.past.push_back(new_past(tokens));
    } else {
      for (Ort::Value& value : slot.past) value = resized(value, slot.length, tokens);
    }
    slot.length = tokens;
  }

  Ort::Value tensor(std::vector<std::int64_t>& data, std::size_t count) const {
    const std::array<std::int64_t, 2> shape{1, static_cast<std::int64_t>(count)};
    return Ort::Value::CreateTensor<std::int64_t>(host_info_, data.data(), count, shape.data(),
                                                  shape.size());
  }

  Result<void> run_step(const Step& step) {
    Slot& slot = state_of(step.slot);
    CHECK(!step.tokens.empty() && step.tokens.size() <= limits_.chunk_tokens_max);
    CHECK(slot.length + step.tokens.size() <= limits_.slot_tokens_max);
    try {
      if (slot.past.empty()) {
        for (std::size_t i = 0; i < past_names_.size(); ++i) slot.past.push_back(new_past(0));
      }
      Ort::IoBinding binding(session_.session);
      bind(binding, slot, step);
      session_.session.Run(Ort::RunOptions{nullptr}, binding);
      std::vector<Ort::Value> outputs = binding.GetOutputValues();
      const Ort::Value logits = std::move(outputs.back());
      outputs.pop_back();
      slot.past = std::move(outputs);
      slot.length += static_cast<std::uint32_t>(step.tokens.size());
      return collect(step, logits);
    } catch (const Ort::Exception& exception) {
      return std::unexpected(to_error("the model's step failed", exception));
    }
  }

  void bind(Ort::IoBinding& binding, const Slot& slot, const Step& step) {
    const std::size_t count = step.tokens.size();
    ids_.assign(step.tokens.begin(), step.tokens.end());
    positions_.resize(count);
    std::iota(positions_.begin(), positions_.end(), static_cast<std::int64_t>(slot.length));
    binding.BindInput(names_.input_ids.c_str(), tensor(ids_, count));
    if (graph_.has_attention_mask) {
      binding.BindInput(names_.attention_mask.c_str(), tensor(ones_, slot.length + count));
    }
    if (graph_.has_position_ids) {
      binding.BindInput(names_.position_ids.c_str(), tensor(positions_, count));
    }
    if (graph_.has_use_cache_branch) {
      has_past_ = slot.length > 0;
      const std::int64_t one = 1;
      binding.BindInput(kUseCacheBranch,
                        Ort::Value::CreateTensor<bool>(host_info_, &has_past_, 1, &one, 1));
    }
    if (graph_.has_logits_positions) {
      logits_positions_.assign(1, -1);
      if (step.logits == LogitsWanted::kAll) {
        logits_positions_.resize(count);
        std::iota(logits_positions_.begin(), logits_positions_.end(), 0);
      }
      const auto size = static_cast<std::int64_t>(logits_positions_.size());
      binding.BindInput(names_.logits_positions.c_str(),
                        Ort::Value::CreateTensor<std::int64_t>(host_info_, logits_positions_.data(),
                                                               logits_positions_.size(), &size, 1));
    }
    for (std::size_t i = 0; i < past_names_.size(); ++i) {
      binding.BindInput(past_names_[i].c_str(), slot.past[i]);
      binding.BindOutput(present_names_[i].c_str(), host_info_);
    }
    binding.BindOutput(names_.logits.c_str(), host_info_);
  }

  Result<void> collect(const Step& step, const Ort::Value& logits) {
    TRY(const LogitsTensor tensor,
        view_logits(logits, graph_.logits_type, 1, limits_.vocabulary_size));
    return append_wanted_rows(tensor, 0, step, logits_);
  }

  // Constant after construction.
  OpenSession session_;
  GraphNames names_;
  GraphInterface graph_;
  KvGeometry geometry_;
  DecoderLimits limits_;
  KvLayout layout_;
  Ort::MemoryInfo host_info_;
  std::vector<std::string> past_names_;
  std::vector<std::string> present_names_;
  // The engine thread's. ORT's tensors borrow the vectors during a run.
  std::vector<Slot> slots_;
  std::vector<std::int64_t> ones_;
  std::vector<std::int64_t> ids_;
  std::vector<std::int64_t> positions_;
  std::vector<std::int64_t> logits_positions_;
  bool has_past_ = false;
  std::vector<float> logits_;
};

}  // namespace

std::unique_ptr<Decoder> make_growing_decoder(OpenSession session, const ModelConfig& config,
                                              const GraphInterface& graph,
                                              const DecoderSizes& sizes, std::string_view kind) {
  return std::make_unique<DecoderGrowing>(std::move(session), config, graph, sizes, kind);
}

}  // namespace onnxlocal
