// The input gives heads, a window, a cap, and one sequence of bounded queries, keys and values.
// Every set that this machine has must be within its rounding of double precision over numbers
// rounded to bf16; and within a set, with pages of bf16 and of int8, the bits are the same in one
// piece, in two, and over a cache of another layout.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "attention/attention.h"
#include "cpu/fuzz_input.h"
#include "cpu/number_formats.h"

namespace onnxlocal::ep {
namespace {

using Numbers = std::vector<float>;

/// Runs tasks on the caller, last first.
class Backwards final : public Parallel {
 public:
  unsigned threads() const override { return 2; }
  void run(std::size_t tasks, TaskRef body) override {
    while (tasks > 0) body(--tasks);
  }
};

struct Case {
  explicit Case(FuzzInput& input) {
    shape.kv_heads = input.between(1, 2);
    shape.heads = shape.kv_heads * input.between(1, 5);
    shape.head_dim = 16 * input.between(1, 16);
    shape.scale = std::ldexp(1.0F, -static_cast<int>(input.between(0, 8)));
    if (input.flag()) shape.softcap = std::ldexp(1.0F, static_cast<int>(input.between(0, 6)));
    if (input.flag()) shape.window = input.between(1, 320);
    tokens = input.between(1, 290);
    rows = std::min(tokens, input.between(1, 20));
    cut = input.between(0, rows);
    const unsigned spread = input.between(0, 3);
    q = input.numbers(rows * q_width(), spread);
    k = input.numbers(tokens * width(), spread);
    v = input.numbers(tokens * width(), input.between(0, 12));
  }
  std::size_t q_width() const { return std::size_t{shape.heads} * shape.head_dim; }
  std::size_t width() const { return std::size_t{shape.kv_heads} * shape.head_dim; }

  AttentionShape shape;
  std::uint32_t past() const { return tokens - rows; }

  std::uint32_t tokens = 0;
  std::uint32_t rows = 0;  ///< The last tokens, which have queries.
  std::uint32_t cut = 0;
  Numbers q;
  Numbers k;
  Numbers v;
};

/// In pieces that end at each row of `ends`, over pages in falling order.
Numbers over_pages(InstructionSet set, const Case& one, std::initializer_list<std::uint32_t> ends) {
  const AttentionKernels& kernels = attention_kernels(set);
  const std::size_t pages = one.tokens / kPageTokens + 1;
  std::vector<std::byte> memory(pages * layer_page_bytes(one.shape), std::byte{0xff});
  const PagedCache cache{.pages = memory.data(), .page_bytes = layer_page_bytes(one.shape)};
  std::vector<std::int32_t> table(pages);
  for (std::size_t i = 0; i < pages; ++i) table[i] = static_cast<std::int32_t>(pages - 1 - i);
  Backwards parallel;
  const auto append = [&](const SequenceRows& rows) {
    append_to_pages(kernels, parallel, one.shape, cache, {&rows, 1},
                    {one.k.data() + (rows.past - rows.first_row) * one.width(), one.width()},
                    {one.v.data() + (rows.past - rows.first_row) * one.width(), one.width()});
  };
  append({.first_row = 0, .rows = one.past(), .past = 0, .pages = table.data()});
  std::vector<std::byte> scratch;
  Numbers out(one.q.size());
  std::uint32_t first = 0;
  for (const std::uint32_t end : ends) {
    const SequenceRows rows{
        .first_row = first, .rows = end - first, .past = one.past() + first, .pages = table.data()};
    append(rows);
    attend_pages(kernels, parallel, one.shape, cache, {&rows, 1}, {one.q.data(), one.q_width()},
                 {out.data(), one.q_width()}, scratch);
    first = end;
  }
  return out;
}

Numbers over_floats(InstructionSet set, const Case& one) {
  const ForeignSequence sequence{
      .first_row = 0,
      .rows = one.rows,
      .past = one.past(),
      .cache = {.type = ForeignCache::Number::kFloat32,
                .keys = reinterpret_cast<const std::byte*>(one.k.data()),
                .values = reinterpret_cast<const std::byte*>(one.v.data()),
                .head_stride = one.shape.head_dim * sizeof(float),
                .token_stride = one.width() * sizeof(float)}};
  Backwards parallel;
  std::vector<std::byte> scratch;
  Numbers out(one.q.size());
  attend_foreign(attention_kernels(set), parallel, one.shape, {&sequence, 1},
                 {one.q.data(), one.q_width()}, {out.data(), one.q_width()}, scratch);
  return out;
}

bool same_bits(const Numbers& a, const Numbers& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

double rounded(float value) { return static_cast<double>(from_bf16(to_bf16(value))); }

/// A head of a row in double precision, and how far a kernel may be from it.
struct Expected {
  std::vector<double> out;
  std::vector<double> tolerance;
};
Expected expected_head(const Case& one, std::uint32_t row, std::uint32_t head) {
  const AttentionShape& shape = one.shape;
  const std::size_t n = shape.head_dim;
  const std::size_t kv = head / (shape.heads / shape.kv_heads) * n;
  const float* const q = one.q.data() + row * one.q_width() + head * n;
  const std::uint32_t token = one.past() + row;
  const std::uint32_t first =
      shape.window != 0 && token + 1 > shape.window ? token + 1 - shape.window : 0;
  std::vector<double> scores;
  double magnitude = 0;  // The largest that a score's terms come to.
  for (std::size_t key = first; key <= token; ++key) {
    double score = 0;
    double terms = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double term = rounded(q[i]) * rounded(one.k[key * one.width() + kv + i]);
      score += term;
      terms += std::abs(term);
    }
    magnitude = std::max(magnitude, terms * shape.scale);
    score *= shape.scale;
    scores.push_back(shape.softcap == 0 ? score : shape.softcap * std::tanh(score / shape.softcap));
  }
  const double maximum = *std::ranges::max_element(scores);
  Expected expected{.out = std::vector<double>(n), .tolerance = std::vector<double>(n)};
  double sum = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double p = std::exp(scores[i] - maximum);
    sum += p;
    for (std::size_t j = 0; j < n; ++j) {
      const double v = rounded(one.v[(first + i) * one.width() + kv + j]);
      expected.out[j] += p * v;
      expected.tolerance[j] += p * std::abs(v);
    }
  }
  // A score is n roundings of its terms off, and some of its own (scale, cap, base 2): a weight is
  // off by e to the power of that, and so is the sum of weights. Each weight is rounded to 8 bits,
  // as is their sum. Sums of weights and values are as many roundings off as there are keys.
  const double score_error =
      (static_cast<double>(n) + 8) * 0x1p-23 * magnitude + 0x1p-20 * shape.softcap;
  const double relative =
      0x1p-8 + std::expm1(4 * score_error) + 0x1p-22 * static_cast<double>(scores.size()) + 1e-5;
  for (std::size_t j = 0; j < n; ++j) {
    expected.out[j] /= sum;
    expected.tolerance[j] = expected.tolerance[j] / sum * relative + 1e-30;
  }
  return expected;
}

/// Heads whose keys are checked against double precision, which costs most of a run.
struct Checked {
  std::size_t first = 0;  ///< Of the head's numbers in the output.
  Expected expected;
};
std::vector<Checked> checked_heads(const Case& one) {
  std::vector<Checked> checked;
  for (const std::uint32_t row : {0U, one.rows / 2, one.rows - 1}) {
    const std::uint32_t head = (row + one.cut) % one.shape.heads;
    checked.push_back({.first = row * one.q_width() + std::size_t{head} * one.shape.head_dim,
                       .expected = expected_head(one, row, head)});
  }
  return checked;
}

void check(const Numbers& out, const Checked& head) {
  for (std::size_t i = 0; i < head.expected.out.size(); ++i) {
    expect(std::abs(out[head.first + i] - head.expected.out[i]) <= head.expected.tolerance[i]);
  }
}

}  // namespace
}  // namespace onnxlocal::ep

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxlocal::ep;
  FuzzInput input(data, size);
  Case one(input);
  const std::vector<Checked> heads = checked_heads(one);
  for (const KvType type : {KvType::kBf16, KvType::kInt8}) {
    one.shape.kv_type = type;
    for (const InstructionSet set : available_instruction_sets()) {
      const Numbers whole = over_pages(set, one, {one.rows});
      for (const Checked& head : heads) {
        if (type == KvType::kBf16) check(whole, head);
      }
      expect(same_bits(whole, over_pages(set, one, {one.cut, one.rows})));
      expect(same_bits(whole, over_floats(set, one)));
    }
  }
  return 0;
}
