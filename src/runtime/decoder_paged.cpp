#include "runtime/decoder_paged.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include "base/check.h"
#include "runtime/graph_inspection.h"
#include "runtime/logits_rows.h"
#include "runtime/ort_error.h"
#include "runtime/paged_slots.h"

namespace onnxlocal {

namespace {

ONNXTensorElementDataType to_ort(std::int32_t type) {
  if (type == onnx::TensorProto::FLOAT16) return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
  if (type == onnx::TensorProto::BFLOAT16) return ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
  return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}

/// Memory of one input, bound while its shape stays: between two steps of one shape only the
/// numbers change.
template <class Number>
class BoundInput {
 public:
  BoundInput(const char* name, std::size_t numbers_max, ONNXTensorElementDataType type)
      : name_(name), type_(type), numbers_(numbers_max) {}

  std::span<Number> numbers() { return numbers_; }

  void bind(Ort::IoBinding& binding, const OrtMemoryInfo* memory,
            std::initializer_list<std::int64_t> shape) {
    if (std::ranges::equal(shape, shape_)) return;
    std::size_t count = 1;
    for (const std::int64_t dim : shape) count *= static_cast<std::size_t>(dim);
    CHECK(count <= numbers_.size());
    binding.BindInput(name_.c_str(),
                      Ort::Value::CreateTensor(memory, numbers_.data(), count * sizeof(Number),
                                               shape.begin(), shape.size(), type_));
    shape_.assign(shape);
  }

 private:
  std::string name_;
  ONNXTensorElementDataType type_;
  std::vector<Number> numbers_;
  std::vector<std::int64_t> shape_;
};

using LongInput = BoundInput<std::int64_t>;
using IntInput = BoundInput<std::int32_t>;
constexpr auto kLong = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
constexpr auto kInt = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;

/// The rows that a step wants logits of, of its own rows.
std::uint32_t wanted_rows(const Step& step) {
  if (step.logits == LogitsWanted::kNone) return 0;
  return step.logits == LogitsWanted::kLast ? 1 : static_cast<std::uint32_t>(step.tokens.size());
}

class DecoderPaged final : public Decoder {
 public:
  DecoderPaged(OpenSession session, const ModelConfig& config, const PagedModel& model,
               const DecoderSizes& sizes, const std::string& kind, PagePool pool)
      : session_(std::move(session)),
        limits_{.vocabulary_size = model.vocabulary_size,
                .slots = sizes.slots,
                .slot_tokens_max = sizes.slot_tokens_max,
                .chunk_tokens_max = sizes.chunk_tokens_max,
                .mixing = StepMixing::kRagged,
                .kv_bytes_per_token = model.geometry.token_bytes()},
        layout_{.layout_id =
                    fmt::format("{}/{}/pages{}/{}x{}x{}/{}", kind, to_string(model.geometry.type),
                                kPageLayoutVersion, model.geometry.layers, model.geometry.kv_heads,
                                model.geometry.head_dim, model.rope_id),
                .block_tokens = kPageTokens,
                .block_bytes = model.geometry.page_bytes()},
        logits_name_(config.names.logits),
        logits_type_(to_ort(model.logits_type)),
        has_position_ids_(model.has_position_ids),
        table_width_((sizes.slot_tokens_max + kPageTokens - 1) / kPageTokens),
        host_(Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault)),
        slots_(std::move(pool), sizes.slots, sizes.slot_tokens_max),
        ids_(config.names.input_ids.c_str(), sizes.chunk_tokens_max, kLong),
        positions_(config.names.position_ids.c_str(), sizes.chunk_tokens_max, kLong),
        rows_(kRowsInput, sizes.chunk_tokens_max, kLong),
        starts_(kStartsInput, std::size_t{sizes.slots} + 1, kInt),
        past_(kPastInput, sizes.slots, kInt),
        table_(kTableInput, std::size_t{sizes.slots} * table_width_, kInt),
        binding_(session_.session) {
    bind_pages();
  }

  const DecoderLimits& limits() const override { return limits_; }
  const KvLayout& layout() const override { return layout_; }

  Result<Logits> forward(std::span<const Step> steps) override {
    check_steps(steps);
    auto done = try_forward(steps);
    if (!done) {
      for (const Step& step : steps) slots_.truncate(step.slot, 0);
    }
    return done;
  }

  std::uint64_t free_tokens() const override { return slots_.free_tokens(); }
  std::uint32_t length(SlotId slot) const override { return slots_.length(slot); }
  void truncate(SlotId slot, std::uint32_t tokens) override { slots_.truncate(slot, tokens); }
  Result<void> copy_prefix(SlotId from, SlotId to, std::uint32_t tokens) override {
    return slots_.copy_prefix(from, to, tokens);
  }
  Result<void> export_blocks(SlotId slot, std::uint32_t first_block,
                             std::span<std::byte> bytes) const override {
    slots_.export_blocks(slot, first_block, bytes);
    return {};
  }
  Result<void> import_blocks(SlotId slot, std::span<const std::byte> bytes) override {
    return slots_.import_blocks(slot, bytes);
  }

 private:
  void check_steps(std::span<const Step> steps) const {
    CHECK(!steps.empty() && steps.size() <= limits_.slots);
    std::size_t rows = 0;
    for (const Step& step : steps) {
      rows += step.tokens.size();
      CHECK(!step.tokens.empty());
      CHECK(length(step.slot) + step.tokens.size() <= limits_.slot_tokens_max);
    }
    CHECK(rows <= limits_.chunk_tokens_max);
  }

  /// The pool goes in and comes out as one memory, bound once.
  void bind_pages() {
    const PagePool& pool = slots_.pool();
    const std::array<std::int64_t, 2> shape{pool.pages(),
                                            static_cast<std::int64_t>(pool.page_bytes())};
    const Ort::Value pages =
        Ort::Value::CreateTensor(host_, pool.memory(), pool.pages() * pool.page_bytes(),
                                 shape.data(), shape.size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
    binding_.BindInput(kPagesInput, pages);
    binding_.BindOutput(kPagesOutput, pages);
  }

  Result<Logits> try_forward(std::span<const Step> steps) {
    for (const Step& step : steps) TRY_VOID(slots_.reserve(step.slot, step.tokens.size()));
    const std::uint32_t wanted = fill_inputs(steps);
    try {
      bind_logits(std::max(wanted, 1U));
      session_.session.Run(run_options_, binding_);
    } catch (const Ort::Exception& exception) {
      return std::unexpected(to_error("the model's step failed", exception));
    }
    for (const Step& step : steps) slots_.grow(step.slot, step.tokens.size());
    return Logits{.values = logits_of(wanted), .rows = wanted};
  }

  /// Returns the rows that want logits.
  std::uint32_t fill_inputs(std::span<const Step> steps) {
    std::uint32_t row = 0;
    std::uint32_t wanted = 0;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const Step& step = steps[i];
      const std::uint32_t past = length(step.slot);
      starts_.numbers()[i] = static_cast<std::int32_t>(row);
      past_.numbers()[i] = static_cast<std::int32_t>(past);
      // What stands behind a slot's pages is of an earlier step: page numbers still, and not read.
      std::ranges::copy(slots_.pages(step.slot),
                        table_.numbers().subspan(i * table_width_).begin());
      for (std::uint32_t t = 0; t < step.tokens.size(); ++t) {
        ids_.numbers()[row + t] = step.tokens[t];
        positions_.numbers()[row + t] = past + t;
      }
      row += static_cast<std::uint32_t>(step.tokens.size());
      const std::uint32_t own = wanted_rows(step);
      for (std::uint32_t t = 0; t < own; ++t) rows_.numbers()[wanted + t] = row - own + t;
      wanted += own;
    }
    starts_.numbers()[steps.size()] = static_cast<std::int32_t>(row);
    // A matrix product over no rows is no operator's strength: one row is computed and dropped.
    if (wanted == 0) rows_.numbers()[0] = row - 1;
    bind_inputs(row, static_cast<std::int64_t>(steps.size()), std::max(wanted, 1U));
    return wanted;
  }

  void bind_inputs(std::int64_t rows, std::int64_t sequences, std::int64_t wanted) {
    ids_.bind(binding_, host_, {1, rows});
    if (has_position_ids_) positions_.bind(binding_, host_, {1, rows});
    rows_.bind(binding_, host_, {wanted});
    starts_.bind(binding_, host_, {sequences + 1});
    past_.bind(binding_, host_, {sequences});
    table_.bind(binding_, host_, {sequences, table_width_});
  }

  /// Memory for the logits is kept, but not that of the one step that wanted hundreds of rows.
  void bind_logits(std::uint32_t rows) {
    if (rows == bound_logits_rows_) return;
    const std::size_t row_bytes =
        std::size_t{limits_.vocabulary_size} * element_bytes(logits_type_);
    const std::size_t kept = std::size_t{limits_.slots} * row_bytes;
    const std::size_t bytes = rows * row_bytes;
    if (bytes > logits_bytes_ || (logits_bytes_ > kept && bytes <= kept)) {
      logits_bytes_ = std::max(bytes, kept);
      logits_ = std::make_unique_for_overwrite<std::byte[]>(logits_bytes_);
    }
    const std::array<std::int64_t, 3> shape{1, rows, limits_.vocabulary_size};
    binding_.BindOutput(logits_name_.c_str(),
                        Ort::Value::CreateTensor(host_, logits_.get(), bytes, shape.data(),
                                                 shape.size(), logits_type_));
    bound_logits_rows_ = rows;
  }

  std::span<const float> logits_of(std::uint32_t rows) {
    const std::size_t width = limits_.vocabulary_size;
    if (logits_type_ == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
      return {reinterpret_cast<const float*>(logits_.get()), rows * width};
    }
    wide_logits_.clear();
    for (std::uint32_t row = 0; row < rows; ++row) {
      append_logits_row(logits_.get(), logits_type_, row, width, wide_logits_);
    }
    return wide_logits_;
  }

  // Constant after construction.
  OpenSession session_;
  DecoderLimits limits_;
  KvLayout layout_;
  std::string logits_name_;
  ONNXTensorElementDataType logits_type_;
  bool has_position_ids_;
  std::int64_t table_width_;  ///< Pages of a full slot.
  Ort::MemoryInfo host_;
  Ort::RunOptions run_options_;
  // The engine thread's. The binding points into all that stands before it.
  PagedSlots slots_;
  LongInput ids_;
  LongInput positions_;
  LongInput rows_;
  IntInput starts_;
  IntInput past_;
  IntInput table_;
  std::unique_ptr<std::byte[]> logits_;
  std::size_t logits_bytes_ = 0;
  std::uint32_t bound_logits_rows_ = 0;
  std::vector<float> wide_logits_;  ///< Where the graph's are not float32.
  Ort::IoBinding binding_;
};

}  // namespace

Result<std::unique_ptr<Decoder>> make_paged_decoder(OpenSession session, const ModelConfig& config,
                                                    const PagedModel& model,
                                                    const DecoderSizes& sizes,
                                                    const std::string& kind, PagePool pool) {
  CHECK(pool.page_bytes() == model.geometry.page_bytes());
  CHECK(sizes.chunk_tokens_max >= sizes.slots);
  try {
    return std::make_unique<DecoderPaged>(std::move(session), config, model, sizes, kind,
                                          std::move(pool));
  } catch (const Ort::Exception& exception) {
    return std::unexpected(to_error("the decoder's tensors", exception));
  }
}

}  // namespace onnxlocal
