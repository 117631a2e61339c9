// Every set that this processor has, over both forms of keys and values: against double precision
// on numbers rounded as that form holds them, and bit for bit against itself however the work is
// cut.
#include "attention/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <tuple>

#include "attention/attention_kernels.h"
#include "cpu/number_formats.h"
#include "threads/thread_pool.h"

namespace onnxlocal::ep {
namespace {

using Numbers = std::vector<float>;

enum class Values {
  kNormal,
  kHugeScores,
  kEqualScores,
  kOneDominantKey,
  kWideRange,
  kOneMagnitude,  ///< Every number is as large as its row's largest.
};

/// Queries, keys and values of one sequence.
struct Sequence {
  std::uint32_t tokens = 0;
  Numbers q;
  Numbers k;
  Numbers v;
};

Numbers random_numbers(std::size_t n, std::mt19937& random, float spread = 1.0F) {
  std::normal_distribution<float> normal(0.0F, spread);
  Numbers numbers(n);
  for (float& value : numbers) value = normal(random);
  return numbers;
}

Sequence make_sequence(const AttentionShape& shape, std::uint32_t tokens, std::uint32_t seed,
                       Values values = Values::kNormal) {
  std::mt19937 random(seed);
  const std::size_t width = std::size_t{shape.kv_heads} * shape.head_dim;
  const float spread = values == Values::kHugeScores ? 60.0F : 1.0F;
  Sequence sequence{
      .tokens = tokens,
      .q = random_numbers(std::size_t{tokens} * shape.heads * shape.head_dim, random, spread),
      .k = random_numbers(tokens * width, random, spread),
      .v = random_numbers(tokens * width, random)};
  if (values == Values::kEqualScores) {
    for (std::size_t i = width; i < sequence.k.size(); ++i) sequence.k[i] = sequence.k[i - width];
  }
  if (values == Values::kOneDominantKey) {
    const std::size_t dominant = tokens / 2 * width;
    for (std::size_t i = 0; i < width; ++i) sequence.k[dominant + i] *= 50.0F;
  }
  if (values == Values::kOneMagnitude) {
    for (Numbers* numbers : {&sequence.q, &sequence.k, &sequence.v}) {
      for (float& value : *numbers) value = std::copysign(1.0F, value);
    }
  }
  if (values == Values::kWideRange) {
    for (float& value : sequence.v) value = std::ldexp(value, static_cast<int>(random() % 60) - 30);
  }
  return sequence;
}

/// Pages of a cache in a shuffled order, whose bytes are all `garbage` until they are written.
class Cache {
 public:
  Cache(const AttentionShape& shape, std::size_t pages, std::uint32_t seed, int garbage)
      : page_bytes_(layer_page_bytes(shape) + 192), bytes_(page_bytes_ * pages) {
    std::memset(bytes_.data(), garbage, bytes_.size());
    free_.resize(pages);
    std::iota(free_.begin(), free_.end(), 0);
    std::mt19937 random(seed);
    std::shuffle(free_.begin(), free_.end(), random);
  }
  std::vector<std::int32_t> take(std::uint32_t tokens) {
    const std::size_t count = (tokens + kPageTokens - 1) / kPageTokens;
    std::vector<std::int32_t> pages(free_.end() - static_cast<std::ptrdiff_t>(count), free_.end());
    free_.resize(free_.size() - count);
    return pages;
  }
  PagedCache view() {
    return {.pages = bytes_.data(), .page_bytes = page_bytes_, .layer_offset = 128};
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::size_t page_bytes_;
  std::vector<std::byte> bytes_;
  std::vector<std::int32_t> free_;
};

struct Setting {
  std::vector<std::uint32_t> chunks{1U << 20U};  ///< Taken in turn.
  unsigned threads = 2;
  std::uint32_t placement = 1;
  int garbage = 0xff;  ///< As bf16 a NaN.
};

struct Step {
  std::vector<SequenceRows> rows;
  Numbers q;
  Numbers k;
  Numbers v;
};

/// Feeds all sequences together, each in the setting's chunks, and returns their outputs.
std::vector<Numbers> attend(InstructionSet set, const AttentionShape& shape,
                            const std::vector<Sequence>& sequences, const Setting& setting = {}) {
  const AttentionKernels& kernels = attention_kernels(set);
  ThreadPool pool(setting.threads);
  const std::size_t q_width = std::size_t{shape.heads} * shape.head_dim;
  const std::size_t width = std::size_t{shape.kv_heads} * shape.head_dim;
  std::size_t pages = 0;
  for (const Sequence& sequence : sequences) pages += sequence.tokens / kPageTokens + 1;
  Cache cache(shape, pages, setting.placement, setting.garbage);
  std::vector<std::vector<std::int32_t>> tables;
  std::vector<Numbers> outputs;
  for (const Sequence& sequence : sequences) {
    tables.push_back(cache.take(sequence.tokens));
    outputs.emplace_back(sequence.tokens * q_width);
  }
  std::vector<std::uint32_t> done(sequences.size());
  std::vector<std::byte> scratch;
  for (std::size_t turn = 0;; ++turn) {
    Step step;
    std::uint32_t total = 0;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      const Sequence& sequence = sequences[i];
      const std::uint32_t rows =
          std::min(setting.chunks[turn % setting.chunks.size()], sequence.tokens - done[i]);
      step.rows.push_back(
          {.first_row = total, .rows = rows, .past = done[i], .pages = tables[i].data()});
      const auto add = [&](Numbers& to, const Numbers& from, std::size_t columns) {
        const auto begin = from.begin() + static_cast<std::ptrdiff_t>(done[i] * columns);
        to.insert(to.end(), begin, begin + static_cast<std::ptrdiff_t>(rows * columns));
      };
      add(step.q, sequence.q, q_width);
      add(step.k, sequence.k, width);
      add(step.v, sequence.v, width);
      total += rows;
    }
    if (total == 0) return outputs;
    Numbers out(total * q_width, 7.0F);
    append_to_pages(kernels, pool, shape, cache.view(), step.rows, {step.k.data(), width},
                    {step.v.data(), width});
    attend_pages(kernels, pool, shape, cache.view(), step.rows, {step.q.data(), q_width},
                 {out.data(), q_width}, scratch);
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      const auto begin =
          out.begin() + static_cast<std::ptrdiff_t>(step.rows[i].first_row * q_width);
      std::copy_n(begin, step.rows[i].rows * q_width,
                  outputs[i].begin() + static_cast<std::ptrdiff_t>(done[i] * q_width));
      done[i] += step.rows[i].rows;
    }
  }
}

double rounded(float value) { return static_cast<double>(from_bf16(to_bf16(value))); }

/// Numbers of one head as attention takes them: bf16, or 8-bit integers and a scale.
std::vector<double> held(KvType type, const float* from, std::size_t n) {
  constexpr double kSteps = 127;
  std::vector<double> numbers(from, from + n);
  double largest = 0;
  for (const double number : numbers) largest = std::max(largest, std::abs(number));
  for (double& number : numbers) {
    if (type == KvType::kBf16) {
      number = rounded(static_cast<float>(number));
    } else if (largest != 0) {
      number = std::nearbyint(number * (kSteps / largest)) * (largest / kSteps);
    }
  }
  return numbers;
}

/// One head of one token: what it should be, and the mean magnitude that errors are measured by.
struct Expected {
  std::vector<double> out;
  std::vector<double> magnitude;
};
Expected expected_head(const AttentionShape& shape, const Sequence& sequence, std::uint32_t token,
                       std::uint32_t head) {
  const std::size_t n = shape.head_dim;
  const std::size_t width = shape.kv_heads * n;
  const std::size_t kv = head / (shape.heads / shape.kv_heads) * n;
  const std::vector<double> q =
      held(shape.kv_type, sequence.q.data() + (std::size_t{token} * shape.heads + head) * n, n);
  const std::uint32_t first =
      shape.window != 0 && token + 1 > shape.window ? token + 1 - shape.window : 0;
  std::vector<double> scores;
  for (std::size_t key = first; key <= token; ++key) {
    const std::vector<double> k = held(shape.kv_type, sequence.k.data() + key * width + kv, n);
    double score = std::inner_product(q.begin(), q.end(), k.begin(), 0.0);
    score *= static_cast<double>(shape.scale);
    if (shape.softcap != 0) score = shape.softcap * std::tanh(score / shape.softcap);
    scores.push_back(score);
  }
  const double maximum = *std::ranges::max_element(scores);
  Expected expected{.out = std::vector<double>(n), .magnitude = std::vector<double>(n)};
  double sum = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double p = std::exp(scores[i] - maximum);
    sum += p;
    const std::vector<double> v =
        held(shape.kv_type, sequence.v.data() + (first + i) * width + kv, n);
    const auto magnitude = [](double a, double b) { return std::abs(a) < std::abs(b); };
    const double largest = std::abs(*std::ranges::max_element(v, magnitude));
    for (std::size_t j = 0; j < n; ++j) {
      expected.out[j] += p * v[j];
      expected.magnitude[j] += p * (shape.kv_type == KvType::kInt8 ? largest : std::abs(v[j]));
    }
  }
  for (std::size_t j = 0; j < n; ++j) {
    expected.out[j] /= sum;
    expected.magnitude[j] /= sum;
  }
  return expected;
}

/// Each weight is rounded to 8 bits, and so is their sum: 2^-8 of the mean magnitude at most, plus
/// what the scores' own rounding in float makes of the largest. With int8 a weight and its value's
/// scale are rounded together, to 15 bits of the split's largest: no more for 256 keys.
void expect_near(const AttentionShape& shape, const Sequence& sequence, const Numbers& out,
                 double slack = 1e-4) {
  std::mt19937 random(5);
  std::vector<std::uint32_t> tokens{0, sequence.tokens / 2, sequence.tokens - 1};
  for (int i = 0; i < 6; ++i) {
    tokens.push_back(static_cast<std::uint32_t>(random() % sequence.tokens));
  }
  for (const std::uint32_t token : tokens) {
    for (std::uint32_t head = 0; head < shape.heads; ++head) {
      const Expected expected = expected_head(shape, sequence, token, head);
      const float* got = out.data() + (std::size_t{token} * shape.heads + head) * shape.head_dim;
      for (std::size_t i = 0; i < shape.head_dim; ++i) {
        const double tolerance = (0x1p-8 + slack) * expected.magnitude[i] + 1e-30;
        ASSERT_NEAR(got[i], expected.out[i], tolerance)
            << "token " << token << " of " << sequence.tokens << ", head " << head << ", " << i;
      }
    }
  }
}

bool same_bits(const Numbers& a, const Numbers& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

using SetAndType = std::tuple<InstructionSet, KvType>;

class AttentionTest : public testing::TestWithParam<SetAndType> {
 protected:
  static InstructionSet set() { return std::get<0>(GetParam()); }
  static KvType kv_type() { return std::get<1>(GetParam()); }
  static AttentionShape make_shape(std::uint32_t head_dim, std::uint32_t group,
                                   std::uint32_t kv_heads = 2) {
    return {.heads = group * kv_heads,
            .kv_heads = kv_heads,
            .head_dim = head_dim,
            .scale = 1.0F / std::sqrt(static_cast<float>(head_dim)),
            .kv_type = kv_type()};
  }
};

TEST_P(AttentionTest, UsesTheKernelsOfTheSet) { EXPECT_EQ(attention_kernels(set()).set, set()); }

TEST_P(AttentionTest, MatchesDoublePrecisionAtEveryEdgeOfPagesAndSplits) {
  const AttentionShape shape = make_shape(64, 3);
  for (const std::uint32_t depth : {0U, 1U, 15U, 16U, 31U, 32U, 33U, 255U, 256U, 257U, 1000U}) {
    const Sequence sequence = make_sequence(shape, depth + 1, depth);
    expect_near(shape, sequence, attend(set(), shape, {sequence})[0]);
  }
}

TEST_P(AttentionTest, MatchesDoublePrecisionForEveryHeadSizeAndGroup) {
  for (const std::uint32_t head_dim : {16U, 64U, 80U, 96U, 128U, 256U}) {
    for (const std::uint32_t group : {1U, 3U, 7U, 8U}) {
      const AttentionShape shape = make_shape(head_dim, group);
      const Sequence sequence = make_sequence(shape, 83, head_dim + group);
      expect_near(shape, sequence, attend(set(), shape, {sequence})[0]);
    }
  }
}

TEST_P(AttentionTest, ManyHeadsMayShareOne) {
  const AttentionShape shape = make_shape(64, 71, 1);
  const Sequence sequence = make_sequence(shape, 40, 3);
  expect_near(shape, sequence, attend(set(), shape, {sequence})[0]);
}

TEST_P(AttentionTest, MatchesDoublePrecisionOnExtremeValues) {
  const AttentionShape shape = make_shape(64, 3);
  for (const Values values : {Values::kHugeScores, Values::kEqualScores, Values::kOneDominantKey,
                              Values::kWideRange, Values::kOneMagnitude}) {
    const Sequence sequence = make_sequence(shape, 600, 9, values);
    const double slack = values == Values::kHugeScores ? 2e-2 : 1e-4;
    expect_near(shape, sequence, attend(set(), shape, {sequence})[0], slack);
  }
}

TEST_P(AttentionTest, EqualScoresAreAMean) {
  const AttentionShape shape = make_shape(64, 1, 1);
  Sequence sequence = make_sequence(shape, 512, 9, Values::kEqualScores);
  std::fill(sequence.v.begin(), sequence.v.end(), 3.0F);
  const Numbers out = attend(set(), shape, {sequence})[0];
  const float rounding = kv_type() == KvType::kInt8 ? 1e-5F : 0;
  for (const float value : out) ASSERT_NEAR(value, 3.0F, rounding);
}

TEST_P(AttentionTest, WindowsHideWhatIsBeforeThem) {
  for (const std::uint32_t window : {1U, 5U, 32U, 100U, 300U}) {
    AttentionShape shape = make_shape(64, 3);
    shape.window = window;
    const Sequence sequence = make_sequence(shape, 700, window);
    const Numbers out = attend(set(), shape, {sequence})[0];
    expect_near(shape, sequence, out);
    EXPECT_TRUE(same_bits(out, attend(set(), shape, {sequence}, {.chunks = {1}, .threads = 1})[0]))
        << window;
    EXPECT_TRUE(same_bits(out, attend(set(), shape, {sequence}, {.chunks = {37, 3}})[0]));
  }
}

TEST_P(AttentionTest, AWindowReadsNoPageBeforeIt) {
  AttentionShape shape = make_shape(64, 3);
  shape.window = 40;
  const Sequence sequence = make_sequence(shape, 400, 4);
  const Numbers expected = attend(set(), shape, {sequence})[0];
  // Other bits before the window of the last row, in keys and values that are not its own.
  Sequence other = sequence;
  const std::size_t width = std::size_t{shape.kv_heads} * shape.head_dim;
  for (std::size_t i = 0; i < 360 * width; ++i) {
    other.k[i] = other.v[i] = std::numeric_limits<float>::quiet_NaN();
  }
  const Numbers out = attend(set(), shape, {other})[0];
  const std::size_t row = std::size_t{shape.heads} * shape.head_dim;
  EXPECT_TRUE(same_bits({out.end() - static_cast<std::ptrdiff_t>(row), out.end()},
                        {expected.end() - static_cast<std::ptrdiff_t>(row), expected.end()}));
}

TEST_P(AttentionTest, SoftcapsBendScores) {
  AttentionShape shape = make_shape(64, 3);
  shape.softcap = 2.0F;
  shape.scale = 0.5F;
  const Sequence sequence = make_sequence(shape, 300, 21);
  expect_near(shape, sequence, attend(set(), shape, {sequence})[0]);
}

TEST_P(AttentionTest, BitsDoNotDependOnChunks) {
  for (const std::uint32_t group : {3U, 7U}) {
    const AttentionShape shape = make_shape(64, group);
    // Beyond one split; plain C++ takes fifty times as long as the others.
    const std::uint32_t tokens = set() == InstructionSet::kPortable ? 280 : 600;
    const Sequence sequence = make_sequence(shape, tokens, group);
    const Numbers whole = attend(set(), shape, {sequence})[0];
    for (const std::uint32_t chunk : {1U, 7U, 32U, 100U, 512U}) {
      EXPECT_TRUE(
          same_bits(whole, attend(set(), shape, {sequence}, {.chunks = {chunk}, .threads = 1})[0]))
          << "chunks of " << chunk << ", group of " << group;
    }
  }
}

TEST_P(AttentionTest, BitsDoNotDependOnTheBatch) {
  const AttentionShape shape = make_shape(80, 3);
  std::vector<Sequence> sequences;
  for (std::uint32_t i = 0; i < 17; ++i) {
    sequences.push_back(make_sequence(shape, 20 + i * 31, i));
  }
  const std::vector<Numbers> together =
      attend(set(), shape, sequences, {.chunks = {100, 1, 13, 300}});
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    EXPECT_TRUE(same_bits(together[i], attend(set(), shape, {sequences[i]})[0])) << i;
  }
}

TEST_P(AttentionTest, BitsDoNotDependOnThreadsPlacementOrUnwrittenBytes) {
  const AttentionShape shape = make_shape(64, 7);
  const std::uint32_t tokens = set() == InstructionSet::kPortable ? 400 : 1500;
  const Sequence sequence = make_sequence(shape, tokens, 2);
  const std::vector<std::uint32_t> chunks{tokens - 30, 1};
  const Numbers expected =
      attend(set(), shape, {sequence}, {.chunks = chunks, .threads = 1, .garbage = 0})[0];
  for (const unsigned threads : {2U, 3U, 5U}) {
    for (const int garbage : {0xff, 0x7f}) {
      const Setting setting{.chunks = chunks,
                            .threads = threads,
                            .placement = threads + static_cast<unsigned>(garbage),
                            .garbage = garbage};
      EXPECT_TRUE(same_bits(expected, attend(set(), shape, {sequence}, setting)[0]));
    }
  }
}

TEST_P(AttentionTest, ANanReachesThoseWhoSeeItAndNobodyElse) {
  const AttentionShape shape = make_shape(64, 3);
  const Sequence sequence = make_sequence(shape, 90, 2);
  const Numbers clean = attend(set(), shape, {sequence})[0];
  const std::size_t width = std::size_t{shape.kv_heads} * shape.head_dim;
  const std::size_t row = std::size_t{shape.heads} * shape.head_dim;
  constexpr std::size_t kToken = 51;
  for (const bool in_key : {true, false}) {
    Sequence bad = sequence;
    Numbers& numbers = in_key ? bad.k : bad.v;
    std::fill_n(numbers.begin() + kToken * width, width, std::numeric_limits<float>::quiet_NaN());
    const Numbers out = attend(set(), shape, {bad})[0];
    EXPECT_EQ(std::memcmp(out.data(), clean.data(), kToken * row * sizeof(float)), 0);
    for (std::size_t i = kToken * row; i < out.size(); ++i) ASSERT_TRUE(std::isnan(out[i])) << i;
  }
}

TEST_P(AttentionTest, KeysOfInfiniteDistanceCountNothing) {
  const AttentionShape shape = make_shape(16, 1, 1);
  Sequence sequence = make_sequence(shape, 300, 2);
  std::fill(sequence.q.begin(), sequence.q.end(), 1e30F);
  std::fill(sequence.k.begin(), sequence.k.end(), -1e30F);
  std::fill_n(sequence.k.end() - 16, 16, 0.0F);
  const Numbers out = attend(set(), shape, {sequence})[0];
  const float* last = sequence.v.data() + std::size_t{299} * 16;
  const std::vector<double> expected = held(kv_type(), last, 16);
  for (std::size_t i = 0; i < 16; ++i) EXPECT_NEAR(out[299 * 16 + i], expected[i], 1e-6);
}

TEST_P(AttentionTest, PagesHoldTheSameBytesHoweverAndByWhicheverSetTheyAreWritten) {
  const AttentionShape shape = make_shape(80, 1);
  const Sequence sequence = make_sequence(shape, 150, 8);
  const std::size_t width = std::size_t{shape.kv_heads} * shape.head_dim;
  std::vector<std::vector<std::byte>> written;
  for (const auto& [writer, chunk] : {std::pair(InstructionSet::kPortable, 150U),
                                      {set(), 1U},
                                      {set(), 3U},
                                      {set(), 33U},
                                      {set(), 150U}}) {
    ThreadPool pool(2);
    Cache cache(shape, 5, 1, 0);
    const auto pages = cache.take(150);
    for (std::uint32_t past = 0; past < 150; past += chunk) {
      const SequenceRows rows{.first_row = past,
                              .rows = std::min(chunk, 150 - past),
                              .past = past,
                              .pages = pages.data()};
      append_to_pages(attention_kernels(writer), pool, shape, cache.view(), {&rows, 1},
                      {sequence.k.data(), width}, {sequence.v.data(), width});
    }
    written.push_back(cache.bytes());
  }
  for (const auto& bytes : written) EXPECT_EQ(bytes, written[0]);
}

TEST_P(AttentionTest, RoundsAsNumberFormatsDo) {
  std::mt19937 random(1);
  Numbers numbers{0.0F,
                  -0.0F,
                  std::numeric_limits<float>::infinity(),
                  -std::numeric_limits<float>::infinity(),
                  std::numeric_limits<float>::quiet_NaN(),
                  std::numeric_limits<float>::max(),
                  std::numeric_limits<float>::denorm_min(),
                  -std::numeric_limits<float>::denorm_min(),
                  1.0F + 0x1p-8F,
                  1.0F + 0x1.8p-7F};
  while (numbers.size() < 4096 + 16) {
    numbers.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  }
  std::vector<std::uint16_t> out(numbers.size());
  attention_kernels(set()).round(numbers.data(), numbers.size(), out.data());
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    ASSERT_EQ(out[i], to_bf16(numbers[i])) << std::bit_cast<std::uint32_t>(numbers[i]);
  }
}

std::vector<std::byte> as_number(ForeignCache::Number type, float value) {
  std::vector<std::byte> bytes(type == ForeignCache::Number::kFloat32 ? 4 : 2);
  const std::uint16_t half =
      type == ForeignCache::Number::kFloat16 ? to_f16(value) : to_bf16(value);
  if (bytes.size() == 4) {
    std::memcpy(bytes.data(), &value, 4);
  } else {
    std::memcpy(bytes.data(), &half, 2);
  }
  return bytes;
}

/// [block][kv head][token][head_dim], blocks in reverse order where there are several.
struct ForeignMemory {
  std::vector<std::byte> keys;
  std::vector<std::byte> values;
  std::vector<std::int32_t> blocks;
  ForeignCache cache;

  ForeignMemory(const AttentionShape& shape, const Sequence& sequence, ForeignCache::Number type,
                std::uint32_t block_tokens) {
    const std::size_t size = type == ForeignCache::Number::kFloat32 ? 4 : 2;
    const std::uint32_t in_block = block_tokens == 0 ? sequence.tokens : block_tokens;
    const std::uint32_t count = (sequence.tokens + in_block - 1) / in_block;
    cache.type = type;
    cache.token_stride = shape.head_dim * size;
    cache.head_stride = in_block * cache.token_stride;
    cache.block_stride = shape.kv_heads * cache.head_stride;
    cache.block_tokens = block_tokens;
    keys.assign(count * cache.block_stride, std::byte{0xff});
    values = keys;
    for (std::uint32_t i = 0; i < count; ++i) {
      blocks.push_back(static_cast<std::int32_t>(count - 1 - i));
    }
    std::size_t from = 0;
    for (std::uint32_t token = 0; token < sequence.tokens; ++token) {
      const auto block = static_cast<std::size_t>(blocks[token / in_block]);
      for (std::uint32_t head = 0; head < shape.kv_heads; ++head) {
        std::size_t to = block * cache.block_stride + head * cache.head_stride +
                         token % in_block * cache.token_stride;
        for (std::uint32_t i = 0; i < shape.head_dim; ++i, ++from, to += size) {
          std::memcpy(keys.data() + to, as_number(type, sequence.k[from]).data(), size);
          std::memcpy(values.data() + to, as_number(type, sequence.v[from]).data(), size);
        }
      }
    }
    cache.keys = keys.data();
    cache.values = values.data();
    cache.blocks = block_tokens == 0 ? nullptr : blocks.data();
  }
};

TEST_P(AttentionTest, ForeignCachesGiveTheBitsOfPages) {
  AttentionShape shape = make_shape(64, 3);
  for (const std::uint32_t window : {0U, 70U}) {
    shape.window = window;
    Sequence sequence = make_sequence(shape, 350, 6);
    // Numbers that every type holds.
    for (Numbers* numbers : {&sequence.k, &sequence.v}) {
      for (float& value : *numbers) value = std::round(value * 16) / 16;
    }
    const Numbers expected = attend(set(), shape, {sequence})[0];
    for (const auto type : {ForeignCache::Number::kFloat32, ForeignCache::Number::kFloat16,
                            ForeignCache::Number::kBfloat16}) {
      for (const std::uint32_t block_tokens : {0U, 16U, 48U, 256U}) {
        const ForeignMemory memory(shape, sequence, type, block_tokens);
        const std::size_t width = std::size_t{shape.heads} * shape.head_dim;
        ThreadPool pool(2);
        std::vector<std::byte> scratch;
        Numbers out(expected.size());
        for (const std::uint32_t first : {0U, 349U}) {
          const ForeignSequence rows{.first_row = first,
                                     .rows = first == 0 ? 349U : 1U,
                                     .past = first,
                                     .cache = memory.cache};
          attend_foreign(attention_kernels(set()), pool, shape, {&rows, 1},
                         {sequence.q.data(), width}, {out.data(), width}, scratch);
        }
        EXPECT_TRUE(same_bits(out, expected)) << block_tokens;
      }
    }
  }
}

TEST_P(AttentionTest, Int8IsNearBf16) {
  AttentionShape shape = make_shape(64, 3);
  const Sequence sequence = make_sequence(shape, 500, 31);
  shape.kv_type = KvType::kInt8;
  const Numbers int8 = attend(set(), shape, {sequence})[0];
  shape.kv_type = KvType::kBf16;
  const Numbers bf16 = attend(set(), shape, {sequence})[0];
  // A step of 1/127 of the largest in each number: 0.006 on average where numbers are near 1.
  for (std::size_t i = 0; i < int8.size(); ++i) ASSERT_NEAR(int8[i], bf16[i], 0.03) << i;
}

TEST_P(AttentionTest, AgreesWithThePortableSet) {
  const AttentionShape shape = make_shape(96, 7);
  const Sequence sequence = make_sequence(shape, 500, 77);
  const Numbers out = attend(set(), shape, {sequence})[0];
  const Numbers portable = attend(InstructionSet::kPortable, shape, {sequence})[0];
  // A probability that lies between two bf16 numbers may go either way.
  for (std::size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i], portable[i], 4e-3) << i;
}

TEST_P(AttentionTest, AStepWithoutRowsDoesNothing) {
  const AttentionShape shape = make_shape(64, 3);
  ThreadPool pool(2);
  Cache cache(shape, 1, 1, 0);
  const SequenceRows none{.pages = nullptr};
  std::vector<std::byte> scratch;
  float untouched = 5.0F;
  append_to_pages(attention_kernels(set()), pool, shape, cache.view(), {&none, 1}, {}, {});
  attend_pages(attention_kernels(set()), pool, shape, cache.view(), {&none, 1}, {}, {&untouched, 1},
               scratch);
  EXPECT_EQ(untouched, 5.0F);
}

std::string name_of(const testing::TestParamInfo<SetAndType>& info) {
  const auto [set, type] = info.param;
  std::string name(to_string(set));
  std::erase(name, '-');
  return name + (type == KvType::kInt8 ? "Int8" : "");
}

INSTANTIATE_TEST_SUITE_P(EachSet, AttentionTest,
                         testing::Combine(testing::ValuesIn(available_instruction_sets().begin(),
                                                            available_instruction_sets().end()),
                                          testing::Values(KvType::kBf16, KvType::kInt8)),
                         name_of);

}  // namespace
}  // namespace onnxlocal::ep
