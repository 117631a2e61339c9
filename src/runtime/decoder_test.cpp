// Every decoder against the one oracle there is: the same tokens in one chunk, alone in a slot. The
// four models have the same weights (tests/data/make_tiny_onnx.py), so that they also check each
// other.

#include <cmath>
#include <span>

#include <gmock/gmock.h>

#include "runtime/test_models.h"

namespace onnxlocal {
namespace {

using testing::distance;
using testing::feed;
using testing::load;
using testing::text_tokens;
using testing::tiny_model;
using testing::values_of;

constexpr SlotId kFirst{0};
constexpr SlotId kSecond{1};
constexpr SlotId kThird{2};

class DecoderTest : public ::testing::TestWithParam<const char*> {
 protected:
  DecoderTest() : decoder_(load(tiny_model(GetParam()))) {}
  Decoder& decoder() { return *decoder_; }
  /// float16 logits around 10 have steps of 0.008.
  float tolerance() const {
    return std::string_view(GetParam()) == "tiny_onnx_foreign" ? 0.01F : 2e-4F;
  }

 private:
  std::unique_ptr<Decoder> decoder_;
};

TEST_P(DecoderTest, StartsWithEmptySlots) {
  EXPECT_EQ(decoder().limits().vocabulary_size, 259U);
  EXPECT_EQ(decoder().limits().slots, 4U);
  EXPECT_EQ(decoder().limits().slot_tokens_max, 256U);
  EXPECT_EQ(decoder().limits().kv_bytes_per_token, 2U * 2 * 2 * 16 * 4);
  EXPECT_EQ(decoder().length(kFirst), 0U);
}

TEST_P(DecoderTest, GivesTheSameForAChunkedPromptAsForAWholeOne) {
  const auto tokens = text_tokens(40);
  const auto whole = feed(decoder(), kFirst, tokens);
  const auto chunked = feed(decoder(), kSecond, tokens, 7);
  const auto single = feed(decoder(), kThird, tokens, 1);
  EXPECT_EQ(decoder().length(kFirst), 40U);
  EXPECT_LT(distance(whole, chunked), tolerance());
  EXPECT_LT(distance(whole, single), tolerance());
}

TEST_P(DecoderTest, GivesEveryPositionWhereAllAreWanted) {
  const auto tokens = text_tokens(12);
  const Step step{.slot = kFirst, .tokens = tokens, .logits = LogitsWanted::kAll};
  const auto all = decoder().forward({&step, 1});
  ASSERT_TRUE(all.has_value());
  ASSERT_EQ(all->rows, 12U);
  const std::vector<float> fifth(all->row(4).begin(), all->row(4).end());
  const std::vector<float> last(all->row(11).begin(), all->row(11).end());
  EXPECT_LT(distance(fifth, feed(decoder(), kSecond, std::span(tokens).first(5))), tolerance());
  EXPECT_LT(distance(last, feed(decoder(), kThird, tokens)), tolerance());
}

TEST_P(DecoderTest, GivesNoRowsWhereNoneAreWanted) {
  const auto tokens = text_tokens(9);
  const Step step{.slot = kFirst, .tokens = tokens, .logits = LogitsWanted::kNone};
  const auto none = decoder().forward({&step, 1});
  ASSERT_TRUE(none.has_value());
  EXPECT_EQ(none->rows, 0U);
  EXPECT_TRUE(none->values.empty());
  EXPECT_EQ(decoder().length(kFirst), 9U);
}

TEST_P(DecoderTest, GivesABatchOfRaggedLengthsWhatEachGetsAlone) {
  const std::vector<std::size_t> lengths{33, 5, 90};
  std::vector<std::vector<float>> alone;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    alone.push_back(feed(decoder(), kFirst, text_tokens(lengths[i] + 1, i)));
    decoder().truncate(kFirst, 0);
  }
  std::vector<std::vector<TokenId>> texts;
  std::vector<Step> steps;
  for (std::uint32_t i = 0; i < 3; ++i) {
    texts.push_back(text_tokens(lengths[i] + 1, i));
    feed(decoder(), SlotId{i}, std::span(texts[i]).first(lengths[i]));
  }
  // In an order that is not the rows'.
  for (const std::uint32_t i : {2U, 0U, 1U}) {
    steps.push_back({.slot = SlotId{i}, .tokens = std::span(texts[i]).last(1)});
  }
  const auto logits = decoder().forward(steps);
  ASSERT_TRUE(logits.has_value()) << describe(logits.error());
  for (std::uint32_t row = 0; row < 3; ++row) {
    const std::vector<float> got(logits->row(row).begin(), logits->row(row).end());
    EXPECT_LT(distance(got, alone[steps[row].slot.value]), tolerance()) << row;
  }
  EXPECT_EQ(decoder().length(kThird), 91U);
}

TEST_P(DecoderTest, KeepsWhatSlotsHoldWhenABatchMovesThem) {
  // Slots 0 and 3 step together, while 1 and 2, between them, hold text of their own.
  std::vector<std::vector<TokenId>> texts;
  for (std::uint32_t i = 0; i < 4; ++i) {
    texts.push_back(text_tokens(20 + i, i));
    feed(decoder(), SlotId{i}, std::span(texts[i]).first(19));
  }
  const std::array<Step, 2> outer{
      Step{.slot = SlotId{0}, .tokens = std::span(texts[0]).subspan(19, 1)},
      Step{.slot = SlotId{3}, .tokens = std::span(texts[3]).subspan(19, 1)}};
  ASSERT_TRUE(decoder().forward(outer).has_value());
  const auto first = feed(decoder(), SlotId{1}, std::span(texts[1]).subspan(19));
  const auto second = feed(decoder(), SlotId{2}, std::span(texts[2]).subspan(19));
  const auto third = feed(decoder(), SlotId{3}, std::span(texts[3]).subspan(20));
  for (std::uint32_t i = 0; i < 4; ++i) decoder().truncate(SlotId{i}, 0);
  EXPECT_LT(distance(first, feed(decoder(), kFirst, texts[1])), tolerance());
  decoder().truncate(kFirst, 0);
  EXPECT_LT(distance(second, feed(decoder(), kFirst, texts[2])), tolerance());
  decoder().truncate(kFirst, 0);
  EXPECT_LT(distance(third, feed(decoder(), kFirst, texts[3])), tolerance());
}

TEST_P(DecoderTest, ContinuesFromACopiedPrefix) {
  const auto tokens = text_tokens(50);
  const auto whole = feed(decoder(), kFirst, tokens);
  ASSERT_TRUE(decoder().copy_prefix(kFirst, kSecond, 31).has_value());
  EXPECT_EQ(decoder().length(kSecond), 31U);
  EXPECT_LT(distance(whole, feed(decoder(), kSecond, std::span(tokens).subspan(31))), tolerance());
}

TEST_P(DecoderTest, ContinuesFromBlocksThatLeftAndCameBack) {
  const auto tokens = text_tokens(100);
  const auto whole = feed(decoder(), kFirst, tokens);
  const KvLayout& layout = decoder().layout();
  ASSERT_EQ(layout.block_tokens, 32U);
  std::vector<std::byte> first(layout.block_bytes);
  std::vector<std::byte> rest(2 * layout.block_bytes);
  ASSERT_TRUE(decoder().export_blocks(kFirst, 0, first).has_value());
  ASSERT_TRUE(decoder().export_blocks(kFirst, 1, rest).has_value());
  decoder().truncate(kFirst, 0);
  ASSERT_TRUE(decoder().import_blocks(kThird, first).has_value());
  ASSERT_TRUE(decoder().import_blocks(kThird, rest).has_value());
  EXPECT_EQ(decoder().length(kThird), 96U);
  EXPECT_LT(distance(whole, feed(decoder(), kThird, std::span(tokens).subspan(96))), tolerance());
}

TEST_P(DecoderTest, ForgetsWhatWasTruncated) {
  const auto tokens = text_tokens(30);
  const auto other = text_tokens(30, 9);
  const auto whole = feed(decoder(), kFirst, tokens);
  feed(decoder(), kSecond, std::span(tokens).first(10));
  feed(decoder(), kSecond, other);
  decoder().truncate(kSecond, 10);
  EXPECT_LT(distance(whole, feed(decoder(), kSecond, std::span(tokens).subspan(10))), tolerance());
}

TEST_P(DecoderTest, EmptiesTheSlotsOfAFailedStepAndGoesOn) {
  const auto tokens = text_tokens(8);
  const auto before = feed(decoder(), kSecond, tokens);
  const std::vector<TokenId> outside{5, 100000};
  const Step step{.slot = kFirst, .tokens = outside};
  const auto failed = decoder().forward({&step, 1});
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, ErrorCode::kInternal);
  EXPECT_EQ(decoder().length(kFirst), 0U);
  EXPECT_EQ(decoder().length(kSecond), 8U);
  EXPECT_LT(distance(before, feed(decoder(), kFirst, tokens)), tolerance());
}

TEST_P(DecoderTest, FillsASlotToItsLastToken) {
  const auto tokens = text_tokens(256);
  const auto last = feed(decoder(), kFirst, tokens, 255);
  EXPECT_EQ(decoder().length(kFirst), 256U);
  EXPECT_LT(distance(last, feed(decoder(), kSecond, tokens, 64)), tolerance());
}

INSTANTIATE_TEST_SUITE_P(Models, DecoderTest,
                         ::testing::Values("tiny_onnx", "tiny_onnx_foreign", "tiny_onnx_growing",
                                           "tiny_onnx_q4"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Decoders, AgreeOnTheSameWeights) {
  const auto tokens = text_tokens(60);
  const auto shared = load(tiny_model("tiny_onnx"));
  const auto foreign = load(tiny_model("tiny_onnx_foreign"));
  const auto growing = load(tiny_model("tiny_onnx_growing"));
  const auto expected = feed(*shared, kFirst, tokens);
  EXPECT_LT(distance(expected, feed(*foreign, kFirst, tokens)), 0.02F);
  EXPECT_LT(distance(expected, feed(*growing, kFirst, tokens)), 2e-4F);
  EXPECT_EQ(shared->limits().mixing, StepMixing::kChunkOrSingles);
  EXPECT_EQ(growing->limits().mixing, StepMixing::kChunkOrSingles);
}

// What the engine's batch invariance stands on (docs/architecture.md): with the stock kernels a
// prompt's chunks may be cut anywhere as long as none has a single token, for single tokens take
// another path through attention.
TEST(Decoders, GiveTheSameBitsForChunksOfTwoTokensOrMore) {
  const auto tokens = text_tokens(60);
  const auto decoder = load(tiny_model("tiny_onnx_q4"));
  const auto whole = feed(*decoder, kFirst, tokens);
  for (const std::size_t chunk : {2U, 3U, 5U, 10U, 20U, 32U}) {
    decoder->truncate(kSecond, 0);
    EXPECT_EQ(distance(whole, feed(*decoder, kSecond, tokens, chunk)), 0.0F) << chunk;
  }
}

TEST(Decoders, GiveTheSameBitsForATokenAloneAndInABatch) {
  const auto decoder = load(tiny_model("tiny_onnx_q4"));
  const auto tokens = text_tokens(30);
  std::vector<Step> steps;
  for (const SlotId slot : {kFirst, kSecond, kThird}) {
    feed(*decoder, slot, std::span(tokens).first(10 + slot.value));
    steps.push_back({.slot = slot, .tokens = std::span(tokens).subspan(10 + slot.value, 1)});
  }
  const auto batch = values_of(decoder->forward(steps));
  ASSERT_EQ(batch.size(), 3 * 259U);
  for (const SlotId slot : {kFirst, kSecond, kThird}) {
    decoder->truncate(slot, 10 + slot.value);
    const auto alone = values_of(decoder->forward({&steps[slot.value], 1}));
    const auto row = std::span(batch).subspan(slot.value * 259, 259);
    EXPECT_EQ(distance(alone, {row.begin(), row.end()}), 0.0F);
  }
}

TEST(Decoders, NameTheirLayoutByWhatDecidesIt) {
  const auto shared = load(tiny_model("tiny_onnx"));
  const auto quantized = load(tiny_model("tiny_onnx_q4"));
  EXPECT_EQ(shared->layout().layout_id, "cpu-exact/f32/2x2x16");
  EXPECT_EQ(quantized->layout().layout_id, "cpu-q8/f32/2x2x16");
}

}  // namespace
}  // namespace onnxlocal
