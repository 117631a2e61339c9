#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "attention/attention.h"
#include "cpu/number_formats.h"
#include "plugin/foreign_threads.h"
#include "plugin/heads.h"
#include "plugin/ragged_batch.h"
#include "plugin/single_kernel.h"

namespace onnxlocal::ep {

namespace {

enum Input : std::size_t {
  kQuery,
  kKey,
  kValue,
  kKeyCache,
  kValueCache,
  kStarts,
  kPast,
  kBlockTable,
  kCos,
  kSin,
  kSlots,
  kHeadSink,
  kQueryNorm,
  kKeyNorm,
  kKeyScale,
  kValueScale,
};

/// com.microsoft.PagedAttention in float16 or bfloat16: activations and cache [blocks][block]
/// [kv_heads][head_dim] of one type. Arithmetic is in float32.
class PagedAttention final : public SingleKernel {
 public:
  PagedAttention(Ort::ConstKernelInfo info, KernelResources& resources)
      : resources_(resources), heads_(read_heads(info)) {}

  Ort::Status compute(OrtKernelContext* context) override;

 private:
  /// One run: what it reads and where it writes.
  struct Run {
    TensorView query;
    TensorView cache;
    RaggedBatch batch;
    AttentionShape shape;
    std::size_t rows = 0;
    bool is_bf16 = false;
    PackedOrApart<std::uint16_t> split;
    std::uint16_t* keys = nullptr;
    std::uint16_t* values = nullptr;
  };

  std::string read_run(OrtKernelContext* context, Run& run) const;
  std::string check_cache(OrtKernelContext* context, const Run& run) const;
  void prepare_rows(OrtKernelContext* context, Parallel& threads, const Run& run, Scratch& scratch,
                    float* queries) const;
  void attend(Parallel& threads, const Run& run, const float* queries, float* out,
              std::vector<std::byte>& scratch) const;

  KernelResources& resources_;
  HeadsShape heads_;
};

float widen(std::uint16_t bits, bool is_bf16) { return is_bf16 ? from_bf16(bits) : from_f16(bits); }
std::uint16_t narrow(float value, bool is_bf16) { return is_bf16 ? to_bf16(value) : to_f16(value); }

/// A constant or small input as floats, in memory of the scratch.
const float* widen_input(const std::optional<TensorView>& input, bool is_bf16,
                         std::vector<float>& memory) {
  if (!input) return nullptr;
  memory.resize(input->count());
  std::ranges::transform(input->values<std::uint16_t>(), memory.begin(),
                         [&](std::uint16_t bits) { return widen(bits, is_bf16); });
  return memory.data();
}

void copy_cache(Parallel& threads, const TensorView& from, std::uint16_t* to) {
  if (to == nullptr || from.data == to || from.count() == 0) return;
  const auto blocks = static_cast<std::size_t>(from.dims[0]);
  const std::size_t block = from.count() / blocks;
  threads.run(blocks, [&](std::size_t i) {
    std::memcpy(to + i * block, from.as<std::uint16_t>() + i * block,
                block * sizeof(std::uint16_t));
  });
}

/// Where each row's key and value go, in tokens from the cache's begin; -1: nowhere.
std::vector<std::int64_t> slots_of_rows(const RaggedBatch& batch,
                                        const std::vector<std::uint32_t>& positions,
                                        const std::optional<TensorView>& mapping) {
  if (mapping) {
    const auto given = mapping->values<std::int32_t>();
    return {given.begin(), given.end()};
  }
  std::vector<std::int64_t> slots;
  slots.reserve(positions.size());
  for (std::size_t i = 0; i < batch.sequences(); ++i) {
    for (std::uint32_t row = 0; row < batch.rows_of(i); ++row) {
      const std::size_t position = positions[slots.size()];
      const auto block = std::int64_t{batch.blocks_of(i)[position / batch.block_tokens]};
      const std::size_t within = position % batch.block_tokens;
      slots.push_back(block * static_cast<std::int64_t>(batch.block_tokens) +
                      static_cast<std::int64_t>(within));
    }
  }
  return slots;
}

Ort::Status PagedAttention::compute(OrtKernelContext* context) {
  Run run;
  if (const std::string problem = read_run(context, run); !problem.empty()) {
    return fail("PagedAttention: " + problem);
  }
  const std::size_t width = std::size_t{run.shape.heads} * run.shape.head_dim;
  auto* const out = static_cast<std::uint16_t*>(
      output_of(context, 0, std::array{run.query.dims[0], static_cast<std::int64_t>(width)}));
  run.keys = static_cast<std::uint16_t*>(output_of(context, 1, run.cache.dims));
  run.values = static_cast<std::uint16_t*>(output_of(context, 2, run.cache.dims));
  ForeignThreads threads(context, resources_.foreign_threads);
  copy_cache(threads, run.cache, run.keys);
  copy_cache(threads, input_of(context, kValueCache).value(), run.values);
  if (run.rows == 0) return ok();

  auto scratch = resources_.scratch.take();
  float* const queries = scratch->query.take_floats(run.rows * width).data();
  float* const results = scratch->output.take_floats(run.rows * width).data();
  prepare_rows(context, threads, run, *scratch, queries);
  attend(threads, run, queries, results, scratch->attention);
  threads.run(run.rows, [&](std::size_t row) {
    for (std::size_t i = row * width; i < (row + 1) * width; ++i) {
      out[i] = narrow(results[i], run.is_bf16);
    }
  });
  return ok();
}

std::string PagedAttention::read_run(OrtKernelContext* context, Run& run) const {
  run.query = input_of(context, kQuery).value();
  run.cache = input_of(context, kKeyCache).value();
  run.is_bf16 = run.query.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
  if (run.query.dims.size() != 2) {
    return "the query is " + to_text(run.query.dims) + ", expected [tokens, width]";
  }
  run.rows = static_cast<std::size_t>(run.query.dims[0]);
  const auto key = input_of(context, kKey);
  const auto value = input_of(context, kValue);
  const std::size_t all_heads = heads_.heads + (key ? 0 : 2 * heads_.kv_heads);
  const std::size_t head_dim = static_cast<std::size_t>(run.query.dims[1]) / all_heads;
  if (std::string problem = check_rows(heads_, head_dim, run.rows, run.query, key, value);
      !problem.empty()) {
    return problem;
  }
  run.shape = attention_shape(heads_, head_dim);
  run.split = split_rows<std::uint16_t>(heads_, head_dim, run.query, key, value);
  if (std::string problem = check_cache(context, run); !problem.empty()) return problem;

  run.batch =
      read_ragged_batch(input_of(context, kStarts).value(), input_of(context, kPast).value(),
                        input_of(context, kBlockTable).value());
  run.batch.blocks = static_cast<std::size_t>(run.cache.dims[0]);
  run.batch.block_tokens = static_cast<std::size_t>(run.cache.dims[1]);
  return check_rotated_batch(heads_, run.batch, run.rows, head_dim, input_of(context, kCos),
                             input_of(context, kSin));
}

std::string PagedAttention::check_cache(OrtKernelContext* context, const Run& run) const {
  const TensorView values = input_of(context, kValueCache).value();
  if (run.cache.dims.size() != 4 || run.cache.dims[1] <= 0 ||
      run.cache.dims[2] != static_cast<std::int64_t>(run.shape.kv_heads) ||
      run.cache.dims[3] != static_cast<std::int64_t>(run.shape.head_dim) ||
      !std::ranges::equal(run.cache.dims, values.dims)) {
    return "key_cache is " + to_text(run.cache.dims) + ", expected [blocks, block_size, " +
           std::to_string(run.shape.kv_heads) + ", " + std::to_string(run.shape.head_dim) +
           "] and value_cache alike";
  }
  for (const std::size_t norm : {kQueryNorm, kKeyNorm}) {
    if (std::string problem = check_norm(input_of(context, norm), run.shape.head_dim);
        !problem.empty()) {
      return problem;
    }
  }
  const auto slots = input_of(context, kSlots);
  if (!slots) return {};
  if (slots->count() != run.rows) return "slot_mapping is " + to_text(slots->dims);
  const std::int64_t places = run.cache.dims[0] * run.cache.dims[1];
  for (const std::int32_t slot : slots->values<std::int32_t>()) {
    if (slot < -1 || slot >= places) {
      return "slot_mapping holds " + std::to_string(slot) + ", the cache " +
             std::to_string(places) + " slots";
    }
  }
  return {};
}

/// Norms and rotates queries (into floats) and keys, and writes keys and values into the cache.
void PagedAttention::prepare_rows(OrtKernelContext* context, Parallel& threads, const Run& run,
                                  Scratch& scratch, float* queries) const {
  std::vector<float> cos;
  std::vector<float> sin;
  std::vector<float> query_norm;
  std::vector<float> key_norm;
  const std::size_t head_dim = run.shape.head_dim;
  const auto table = input_of(context, kCos);
  const HeadSteps steps = make_head_steps(
      heads_, head_dim, resources_.set, table ? table->dims : std::span<const std::int64_t>(),
      widen_input(table, run.is_bf16, cos), widen_input(input_of(context, kSin), run.is_bf16, sin));
  const float* const query_weight =
      widen_input(input_of(context, kQueryNorm), run.is_bf16, query_norm);
  const float* const key_weight = widen_input(input_of(context, kKeyNorm), run.is_bf16, key_norm);
  const std::vector<std::uint32_t> positions = row_positions(run.batch);
  const std::vector<std::int64_t> places =
      slots_of_rows(run.batch, positions, input_of(context, kSlots));
  const std::size_t kv_width = run.shape.kv_heads * head_dim;
  float* const keys = scratch.key.take_floats(run.rows * kv_width).data();
  threads.run(run.rows, [&](std::size_t row) {
    const auto widen_one = [&](std::uint16_t bits) { return widen(bits, run.is_bf16); };
    float* const query = queries + row * run.shape.heads * head_dim;
    std::transform(run.split.query + row * run.split.query_stride,
                   run.split.query + row * run.split.query_stride + run.shape.heads * head_dim,
                   query, widen_one);
    steps.apply_all(query, run.shape.heads, query_weight, positions[row]);
    if (places[row] < 0) return;
    float* const key = keys + row * kv_width;
    const std::uint16_t* const from = run.split.key + row * run.split.key_stride;
    std::transform(from, from + kv_width, key, widen_one);
    steps.apply_all(key, run.shape.kv_heads, key_weight, positions[row]);
    const std::size_t place = static_cast<std::size_t>(places[row]) * kv_width;
    std::transform(key, key + kv_width, run.keys + place,
                   [&](float number) { return narrow(number, run.is_bf16); });
    std::copy_n(run.split.value + row * run.split.key_stride, kv_width, run.values + place);
  });
}

void PagedAttention::attend(Parallel& threads, const Run& run, const float* queries, float* out,
                            std::vector<std::byte>& scratch) const {
  const std::size_t head_bytes = run.shape.head_dim * sizeof(std::uint16_t);
  const std::size_t token_bytes = run.shape.kv_heads * head_bytes;
  std::vector<ForeignSequence> sequences;
  sequences.reserve(run.batch.sequences());
  for (std::size_t i = 0; i < run.batch.sequences(); ++i) {
    sequences.push_back(
        {.first_row = static_cast<std::uint32_t>(run.batch.starts[i]),
         .rows = run.batch.rows_of(i),
         .past = static_cast<std::uint32_t>(run.batch.past[i]),
         .cache = {
             .type = run.is_bf16 ? ForeignCache::Number::kBfloat16 : ForeignCache::Number::kFloat16,
             .keys = reinterpret_cast<const std::byte*>(run.keys),
             .values = reinterpret_cast<const std::byte*>(run.values),
             .head_stride = head_bytes,
             .token_stride = token_bytes,
             .block_stride = run.batch.block_tokens * token_bytes,
             .block_tokens = static_cast<std::uint32_t>(run.batch.block_tokens),
             .blocks = run.batch.blocks_of(i)}});
  }
  const std::size_t width = std::size_t{run.shape.heads} * run.shape.head_dim;
  attend_foreign(attention_kernels(resources_.set), threads, run.shape, sequences,
                 ConstRows(queries, width), Rows{.data = out, .stride = width}, scratch);
}

bool can_run_paged(const Graph& graph, const Node& node) {
  const NodePorts ports(graph, node);
  if (!ports.is(kQuery, ElementType::kFloat16) && !ports.is(kQuery, ElementType::kBfloat16)) {
    return false;
  }
  const ElementType type = ports.input(kQuery)->type;
  return ports.is(kKeyCache, type) && ports.is(kValueCache, type) && ports.has_output(1) &&
         ports.has_output(2) && head_dim_of(ports, node, kQuery, kKey) != 0 &&
         ports.has(kKey) == ports.has(kValue) && !ports.has(kHeadSink) && !ports.has(kKeyScale) &&
         !ports.has(kValueScale) && ports.has(kQueryNorm) == ports.has(kKeyNorm) &&
         has_plain_cache(node) && node.integer("is_causal", 1) == 1 &&
         node.integer("rotary_offset", 0) == 0 &&
         node.text("kv_cache_layout", "SEPARATE") == "SEPARATE";
}

}  // namespace

const KernelEntry& paged_attention_entry() {
  static constexpr KernelEntry kEntry{
      .op = "PagedAttention",
      .domain = "com.microsoft",
      .constrain =
          [](Ort::KernelDefBuilder& builder) {
            const std::vector<const OrtDataType*> halves{
                tensor_type(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16),
                tensor_type(ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16)};
            builder.AddTypeConstraint("T", halves);
            builder.AddTypeConstraint("T_CACHE", halves);
            builder.AddTypeConstraint("S", int32_type());
            builder.AddInputOutputMutableAliases({3, 4}, {1, 2});
          },
      .can_run = can_run_paged,
      .create = create_kernel<PagedAttention>,
  };
  return kEntry;
}

}  // namespace onnxlocal::ep
