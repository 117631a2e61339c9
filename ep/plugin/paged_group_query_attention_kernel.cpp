#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "attention/attention.h"
#include "plugin/foreign_threads.h"
#include "plugin/heads.h"
#include "plugin/names.h"
#include "plugin/ragged_batch.h"
#include "plugin/single_kernel.h"

namespace onnxlocal::ep {

namespace {

enum Input : std::size_t {
  kQuery,
  kKey,
  kValue,
  kPages,
  kStarts,
  kPast,
  kPageTable,
  kCos,
  kSin,
  kQueryNorm,
  kKeyNorm,
};

/// Our own operator (names.h), for a graph that is not run as a whole.
class PagedGroupQueryAttention final : public SingleKernel {
 public:
  PagedGroupQueryAttention(Ort::ConstKernelInfo info, KernelResources& resources)
      : resources_(resources),
        heads_(read_heads(info)),
        shape_(attention_shape(heads_,
                               static_cast<std::size_t>(integer_attribute(info, "head_dim", 0)))),
        layer_(integer_attribute(info, "layer", 0)),
        layers_(integer_attribute(info, "layers", 1)) {
    shape_.kv_type = kv_type_of_bits(integer_attribute(info, "kv_bits", 16)).value();
  }

  Ort::Status compute(OrtKernelContext* context) override {
    const TensorView query = input_of(context, kQuery).value();
    const TensorView pages = input_of(context, kPages).value();
    RaggedBatch batch =
        read_ragged_batch(input_of(context, kStarts).value(), input_of(context, kPast).value(),
                          input_of(context, kPageTable).value());
    if (const std::string problem = check(context, query, pages, batch); !problem.empty()) {
      return fail(std::string(kPagedAttentionOp) + ": " + problem);
    }
    const std::size_t rows = static_cast<std::size_t>(query.dims[1]);
    const std::size_t width = std::size_t{shape_.heads} * shape_.head_dim;
    float* const out = static_cast<float*>(output_of(
        context, 0, std::array{std::int64_t{1}, query.dims[1], static_cast<std::int64_t>(width)}));
    auto* const pages_out = static_cast<std::byte*>(output_of(context, 1, pages.dims));
    ForeignThreads threads(context, resources_.foreign_threads);
    copy_pages(threads, pages, pages_out);
    if (rows == 0) return ok();

    auto scratch = resources_.scratch.take();
    const auto split = split_rows<float>(heads_, shape_.head_dim, query, input_of(context, kKey),
                                         input_of(context, kValue));
    const std::size_t kv_width = std::size_t{shape_.kv_heads} * shape_.head_dim;
    float* const queries = scratch->query.take_floats(rows * width).data();
    float* const keys = scratch->key.take_floats(rows * kv_width).data();
    prepare_rows(context, threads, batch, split, queries, keys);

    const PagedCache cache{
        .pages = pages_out,
        .page_bytes = static_cast<std::size_t>(pages.dims[1]),
        .layer_offset = static_cast<std::size_t>(layer_) * layer_page_bytes(shape_)};
    std::vector<SequenceRows> sequences;
    sequences.reserve(batch.sequences());
    for (std::size_t i = 0; i < batch.sequences(); ++i) {
      sequences.push_back({.first_row = static_cast<std::uint32_t>(batch.starts[i]),
                           .rows = batch.rows_of(i),
                           .past = static_cast<std::uint32_t>(batch.past[i]),
                           .pages = batch.blocks_of(i)});
    }
    const AttentionKernels& kernels = attention_kernels(resources_.set);
    append_to_pages(kernels, threads, shape_, cache, sequences, ConstRows(keys, kv_width),
                    ConstRows(split.value, split.key_stride));
    attend_pages(kernels, threads, shape_, cache, sequences, ConstRows(queries, width),
                 Rows{.data = out, .stride = width}, scratch->attention);
    return ok();
  }

 private:
  std::string check(OrtKernelContext* context, const TensorView& query, const TensorView& pages,
                    RaggedBatch& batch) const;
  void prepare_rows(OrtKernelContext* context, Parallel& threads, const RaggedBatch& batch,
                    const PackedOrApart<float>& split, float* queries, float* keys) const;

  static void copy_pages(Parallel& threads, const TensorView& pages, std::byte* out) {
    if (pages.data == out) return;
    const auto page_bytes = static_cast<std::size_t>(pages.dims[1]);
    threads.run(static_cast<std::size_t>(pages.dims[0]), [&](std::size_t page) {
      std::memcpy(out + page * page_bytes, pages.as<std::byte>() + page * page_bytes, page_bytes);
    });
  }

  KernelResources& resources_;
  HeadsShape heads_;
  AttentionShape shape_;
  std::int64_t layer_;
  std::int64_t layers_;
};

std::string PagedGroupQueryAttention::check(OrtKernelContext* context, const TensorView& query,
                                            const TensorView& pages, RaggedBatch& batch) const {
  const auto key = input_of(context, kKey);
  const auto value = input_of(context, kValue);
  if (query.dims.size() != 3 || query.dims[0] != 1) {
    return "the query is " + to_text(query.dims) + ", expected [1, rows, width]";
  }
  const std::size_t rows = static_cast<std::size_t>(query.dims[1]);
  if (std::string problem = check_rows(heads_, shape_.head_dim, rows, query, key, value);
      !problem.empty()) {
    return problem;
  }
  const std::size_t page_bytes = static_cast<std::size_t>(layers_) * layer_page_bytes(shape_);
  if (pages.dims.size() != 2 || static_cast<std::size_t>(pages.dims[1]) != page_bytes) {
    return "the pages are " + to_text(pages.dims) + ", expected [pages, " +
           std::to_string(page_bytes) + "]";
  }
  for (const std::size_t norm : {kQueryNorm, kKeyNorm}) {
    if (std::string problem = check_norm(input_of(context, norm), shape_.head_dim);
        !problem.empty()) {
      return problem;
    }
  }
  batch.blocks = static_cast<std::size_t>(pages.dims[0]);
  batch.block_tokens = kPageTokens;
  return check_rotated_batch(heads_, batch, rows, shape_.head_dim, input_of(context, kCos),
                             input_of(context, kSin));
}

/// Norms and rotates queries and keys, each into rows of its own.
void PagedGroupQueryAttention::prepare_rows(OrtKernelContext* context, Parallel& threads,
                                            const RaggedBatch& batch,
                                            const PackedOrApart<float>& split, float* queries,
                                            float* keys) const {
  const auto query_norm = input_of(context, kQueryNorm);
  const auto key_norm = input_of(context, kKeyNorm);
  const std::size_t head_dim = shape_.head_dim;
  const HeadSteps steps = make_head_steps(heads_, head_dim, resources_.set, input_of(context, kCos),
                                          input_of(context, kSin));
  const float* const query_weight = query_norm ? query_norm->as<float>() : nullptr;
  const float* const key_weight = key_norm ? key_norm->as<float>() : nullptr;
  const std::vector<std::uint32_t> positions = row_positions(batch);
  threads.run(positions.size(), [&](std::size_t row) {
    float* const to_query = queries + row * shape_.heads * head_dim;
    std::copy_n(split.query + row * split.query_stride, shape_.heads * head_dim, to_query);
    steps.apply_all(to_query, shape_.heads, query_weight, positions[row]);
    float* const to_key = keys + row * shape_.kv_heads * head_dim;
    std::copy_n(split.key + row * split.key_stride, shape_.kv_heads * head_dim, to_key);
    steps.apply_all(to_key, shape_.kv_heads, key_weight, positions[row]);
  });
}

bool can_run_paged(const Graph& /*graph*/, const Node& node) {
  const auto heads = node.integer("num_heads", 0);
  const auto kv_heads = node.integer("kv_num_heads", 0);
  const auto head_dim = node.integer("head_dim", 0);
  const auto layer = node.integer("layer", 0);
  return heads > 0 && kv_heads > 0 && heads % kv_heads == 0 && is_head_dim(head_dim) &&
         layer >= 0 && layer < node.integer("layers", 1) &&
         kv_type_of_bits(node.integer("kv_bits", 16)).has_value();
}

}  // namespace

const KernelEntry& paged_group_query_attention_entry() {
  static constexpr KernelEntry kEntry{
      .op = kPagedAttentionOp,
      .domain = kDomain,
      .constrain =
          [](Ort::KernelDefBuilder& builder) {
            // More than permission to write in place: from layer to layer the pages are one
            // buffer, though it is an input of the graph, whose end may be bound to it too.
            builder.AddInputOutputAlias(static_cast<int>(kPages), 1);
          },
      .can_run = can_run_paged,
      .create = create_kernel<PagedGroupQueryAttention>,
  };
  return kEntry;
}

}  // namespace onnxlocal::ep
