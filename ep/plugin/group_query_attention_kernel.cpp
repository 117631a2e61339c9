#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "attention/attention.h"
#include "plugin/foreign_threads.h"
#include "plugin/heads.h"
#include "plugin/single_kernel.h"

namespace onnxlocal::ep {

namespace {

enum Input : std::size_t {
  kQuery,
  kKey,
  kValue,
  kPastKey,
  kPastValue,
  kSeqlens,
  kTotalLength,
  kCos,
  kSin,
  kPositions,
  kBias,
  kHeadSink,
  kKeyScale,
  kValueScale,
  kQueryNorm,
  kKeyNorm,
};

/// One run's sizes. Cache: [batch][kv_heads][capacity][head_dim].
struct Sizes {
  std::size_t batch = 0;
  std::size_t rows = 0;  ///< Of each sequence.
  std::size_t head_dim = 0;
  std::size_t past_capacity = 0;
  std::size_t capacity = 0;
  std::vector<std::uint32_t> past;  ///< Tokens before the first row, for each sequence.
};

/// The present cache.
struct Cache {
  float* keys = nullptr;
  float* values = nullptr;
};

/// com.microsoft.GroupQueryAttention on float32, with caches that are shared between input and
/// output or grow. Rows behind a sequence's end (a padded first prompt) hold nothing of use, as in
/// the stock kernel.
class GroupQueryAttention final : public SingleKernel {
 public:
  GroupQueryAttention(Ort::ConstKernelInfo info, KernelResources& resources)
      : resources_(resources), shape_(read_heads(info)) {}

  Ort::Status compute(OrtKernelContext* context) override {
    Sizes sizes;
    const TensorView query = input_of(context, kQuery).value();
    const auto key = input_of(context, kKey);
    const auto value = input_of(context, kValue);
    if (const std::string problem = read_sizes(context, query, key, value, sizes);
        !problem.empty()) {
      return fail("GroupQueryAttention: " + problem);
    }
    const auto width = static_cast<std::int64_t>(shape_.heads * sizes.head_dim);
    const auto batch = static_cast<std::int64_t>(sizes.batch);
    float* const out = static_cast<float*>(
        output_of(context, 0, std::array{batch, static_cast<std::int64_t>(sizes.rows), width}));
    const std::array cache_dims{batch, static_cast<std::int64_t>(shape_.kv_heads),
                                static_cast<std::int64_t>(sizes.capacity),
                                static_cast<std::int64_t>(sizes.head_dim)};
    const Cache cache{.keys = static_cast<float*>(output_of(context, 1, cache_dims)),
                      .values = static_cast<float*>(output_of(context, 2, cache_dims))};
    if (sizes.batch * sizes.rows == 0) return ok();
    const auto past = input_of(context, kPastKey);
    if (past && past->data == cache.keys && sizes.past_capacity != sizes.capacity) {
      return fail("GroupQueryAttention: past_key and present_key are one buffer of two lengths");
    }

    ForeignThreads threads(context, resources_.foreign_threads);
    auto scratch = resources_.scratch.take();
    copy_past(threads, sizes, past, cache.keys);
    copy_past(threads, sizes, input_of(context, kPastValue), cache.values);
    const auto split = split_rows<float>(shape_, sizes.head_dim, query, key, value);
    float* const rotated =
        scratch->query.take_floats(sizes.batch * sizes.rows * static_cast<std::size_t>(width))
            .data();
    append_rows(context, threads, sizes, split, rotated, cache);
    attend(threads, sizes, rotated, cache, out, scratch->attention);
    return ok();
  }

 private:
  std::string read_sizes(OrtKernelContext* context, const TensorView& query,
                         const std::optional<TensorView>& key,
                         const std::optional<TensorView>& value, Sizes& sizes) const;
  void copy_past(Parallel& threads, const Sizes& sizes, const std::optional<TensorView>& past,
                 float* present) const;
  void append_rows(OrtKernelContext* context, Parallel& threads, const Sizes& sizes,
                   const PackedOrApart<float>& split, float* query, const Cache& cache) const;
  void attend(Parallel& threads, const Sizes& sizes, const float* query, const Cache& cache,
              float* out, std::vector<std::byte>& scratch) const;
  std::string check_positions(OrtKernelContext* context, const Sizes& sizes) const;

  KernelResources& resources_;
  HeadsShape shape_;
};

std::string GroupQueryAttention::read_sizes(OrtKernelContext* context, const TensorView& query,
                                            const std::optional<TensorView>& key,
                                            const std::optional<TensorView>& value,
                                            Sizes& sizes) const {
  const auto lengths = input_of(context, kSeqlens);
  const auto total = input_of(context, kTotalLength);
  const auto past = input_of(context, kPastKey);
  const auto past_value = input_of(context, kPastValue);
  if (query.dims.size() != 3) return "the query is " + to_text(query.dims) + ", expected 3 axes";
  if (!lengths || !total || total->count() != 1) return "a length is missing";
  sizes.batch = static_cast<std::size_t>(query.dims[0]);
  sizes.rows = static_cast<std::size_t>(query.dims[1]);
  const std::size_t all_heads = shape_.heads + (key ? 0 : 2 * shape_.kv_heads);
  sizes.head_dim = static_cast<std::size_t>(query.dims[2]) / all_heads;
  if (std::string problem =
          check_rows(shape_, sizes.head_dim, sizes.batch * sizes.rows, query, key, value);
      !problem.empty()) {
    return problem;
  }
  if (past) {
    if (past->dims.size() != 4 || past->dims[0] != query.dims[0] ||
        past->dims[1] != static_cast<std::int64_t>(shape_.kv_heads) ||
        past->dims[3] != static_cast<std::int64_t>(sizes.head_dim) || !past_value ||
        !std::ranges::equal(past->dims, past_value->dims)) {
      return "past_key is " + to_text(past->dims) + ", expected [" + std::to_string(sizes.batch) +
             ", " + std::to_string(shape_.kv_heads) + ", length, " +
             std::to_string(sizes.head_dim) + "] and past_value alike";
    }
    sizes.past_capacity = static_cast<std::size_t>(past->dims[2]);
  }
  const std::int64_t longest = *total->as<std::int32_t>();
  if (longest < 0) return "total_sequence_length is " + std::to_string(longest);
  sizes.capacity = std::max(sizes.past_capacity, static_cast<std::size_t>(longest));
  if (lengths->count() != sizes.batch) {
    return "seqlens_k is " + to_text(lengths->dims) + ", expected one for each of " +
           std::to_string(sizes.batch) + " sequences";
  }
  const bool is_first = static_cast<std::size_t>(longest) == sizes.rows;
  for (const std::int64_t length : lengths->values<std::int32_t>()) {
    const std::int64_t before = is_first ? 0 : length + 1 - static_cast<std::int64_t>(sizes.rows);
    if (before < 0 || length < 0 || length >= longest ||
        before > static_cast<std::int64_t>(sizes.past_capacity)) {
      return "seqlens_k holds " + std::to_string(length) + ", with " + std::to_string(sizes.rows) +
             " rows, a past of " + std::to_string(sizes.past_capacity) + " and a total length of " +
             std::to_string(longest);
    }
    sizes.past.push_back(static_cast<std::uint32_t>(before));
  }
  return check_positions(context, sizes);
}

std::string GroupQueryAttention::check_positions(OrtKernelContext* context,
                                                 const Sizes& sizes) const {
  if (const auto norm = input_of(context, kQueryNorm);
      norm && (norm->count() != sizes.head_dim ||
               input_of(context, kKeyNorm).value_or(TensorView{}).count() != sizes.head_dim)) {
    return "q_norm_weight and k_norm_weight do not hold one number for each of " +
           std::to_string(sizes.head_dim);
  }
  if (!shape_.rotates) return {};
  const auto cos = input_of(context, kCos);
  if (std::string problem = check_table(cos, input_of(context, kSin), sizes.head_dim);
      !problem.empty()) {
    return problem;
  }
  const std::size_t most = sizes.past.empty() ? 0 : *std::ranges::max_element(sizes.past);
  if (most + sizes.rows > static_cast<std::size_t>(cos->dims[0])) {
    return "position " + std::to_string(most + sizes.rows - 1) + " is beyond cos_cache " +
           to_text(cos->dims);
  }
  return {};
}

/// Where past and present are two buffers: the past's tokens, and zeros for what no row will fill.
void GroupQueryAttention::copy_past(Parallel& threads, const Sizes& sizes,
                                    const std::optional<TensorView>& past, float* present) const {
  if (past && past->data == present) return;
  const std::size_t heads = sizes.batch * shape_.kv_heads;
  threads.run(heads, [&](std::size_t head) {
    const std::size_t tokens = sizes.past[head / shape_.kv_heads];
    float* const to = present + head * sizes.capacity * sizes.head_dim;
    if (tokens > 0) {
      const float* const from = past->as<float>() + head * sizes.past_capacity * sizes.head_dim;
      std::memcpy(to, from, tokens * sizes.head_dim * sizeof(float));
    }
    const std::size_t filled = tokens + sizes.rows;
    std::fill(to + filled * sizes.head_dim, to + sizes.capacity * sizes.head_dim, 0.0F);
  });
}

/// Norms and rotates queries and keys, and writes keys and values into the cache.
void GroupQueryAttention::append_rows(OrtKernelContext* context, Parallel& threads,
                                      const Sizes& sizes, const PackedOrApart<float>& split,
                                      float* query, const Cache& cache) const {
  const auto query_norm = input_of(context, kQueryNorm);
  const auto key_norm = input_of(context, kKeyNorm);
  const std::size_t head_dim = sizes.head_dim;
  const HeadSteps steps = make_head_steps(shape_, head_dim, resources_.set, input_of(context, kCos),
                                          input_of(context, kSin));
  const float* const query_weight = query_norm ? query_norm->as<float>() : nullptr;
  const float* const key_weight = key_norm ? key_norm->as<float>() : nullptr;
  threads.run(sizes.batch * sizes.rows, [&](std::size_t row) {
    const std::size_t sequence = row / sizes.rows;
    const std::size_t position = sizes.past[sequence] + row % sizes.rows;
    for (std::size_t head = 0; head < shape_.heads; ++head) {
      float* const to = query + (row * shape_.heads + head) * head_dim;
      std::copy_n(split.query + row * split.query_stride + head * head_dim, head_dim, to);
      steps.apply(to, query_weight, position);
    }
    for (std::size_t head = 0; head < shape_.kv_heads; ++head) {
      const std::size_t place =
          ((sequence * shape_.kv_heads + head) * sizes.capacity + position) * head_dim;
      const std::size_t from = row * split.key_stride + head * head_dim;
      std::copy_n(split.key + from, head_dim, cache.keys + place);
      steps.apply(cache.keys + place, key_weight, position);
      std::copy_n(split.value + from, head_dim, cache.values + place);
    }
  });
}

void GroupQueryAttention::attend(Parallel& threads, const Sizes& sizes, const float* query,
                                 const Cache& cache, float* out,
                                 std::vector<std::byte>& scratch) const {
  const AttentionShape shape = attention_shape(shape_, sizes.head_dim);
  const std::size_t head_floats = sizes.capacity * sizes.head_dim;
  std::vector<ForeignSequence> sequences(sizes.batch);
  for (std::size_t i = 0; i < sizes.batch; ++i) {
    const std::size_t offset = i * shape_.kv_heads * head_floats;
    sequences[i] = {.first_row = static_cast<std::uint32_t>(i * sizes.rows),
                    .rows = static_cast<std::uint32_t>(sizes.rows),
                    .past = sizes.past[i],
                    .cache = {.type = ForeignCache::Number::kFloat32,
                              .keys = reinterpret_cast<const std::byte*>(cache.keys + offset),
                              .values = reinterpret_cast<const std::byte*>(cache.values + offset),
                              .head_stride = head_floats * sizeof(float),
                              .token_stride = sizes.head_dim * sizeof(float)}};
  }
  const std::size_t width = shape_.heads * sizes.head_dim;
  attend_foreign(attention_kernels(resources_.set), threads, shape, sequences,
                 ConstRows(query, width), Rows{.data = out, .stride = width}, scratch);
}

bool can_run_attention(const Graph& graph, const Node& node) {
  const NodePorts ports(graph, node);
  constexpr auto kType = ElementType::kFloat32;
  const bool has_past = ports.has(kPastKey);
  return ports.is(kQuery, kType) && has_past == ports.has(kPastValue) &&
         (!has_past || (ports.is(kPastKey, kType) && ports.is(kPastValue, kType))) &&
         ports.output_is(1, kType) && ports.output_is(2, kType) && !ports.has_output(3) &&
         head_dim_of(ports, node, kQuery, kKey) != 0 && !ports.has(kPositions) &&
         !ports.has(kBias) && !ports.has(kHeadSink) && !ports.has(kKeyScale) &&
         !ports.has(kValueScale) && ports.has(kQueryNorm) == ports.has(kKeyNorm) &&
         has_plain_cache(node) && node.integer("causal", 1) == 1 &&
         node.integer("smooth_softmax", 0) <= 0 && node.integer("sliding_window_cache", 0) == 0 &&
         node.integer("qk_output", 0) == 0;
}

}  // namespace

const KernelEntry& group_query_attention_entry() {
  static constexpr KernelEntry kEntry{
      .op = "GroupQueryAttention",
      .domain = "com.microsoft",
      .constrain =
          [](Ort::KernelDefBuilder& builder) {
            builder.AddTypeConstraint("T", float_type());
            builder.AddTypeConstraint("M", int32_type());
            builder.AddInputOutputMutableAliases({3, 4}, {1, 2});
          },
      .can_run = can_run_attention,
      .create = create_kernel<GroupQueryAttention>,
  };
  return kEntry;
}

}  // namespace onnxlocal::ep
