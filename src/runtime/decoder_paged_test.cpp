// The paged decoder against the shared-buffer one, and against itself in other company. It runs
// over a stand-in for our provider (tests/support/ep_double_paged.cpp), and over the provider
// itself where it is built: there the same tokens must give the same bits, whatever else runs.

#include "runtime/decoder_paged.h"

#include <ostream>

#include <gmock/gmock.h>

#include "runtime/own_provider.h"
#include "runtime/paged_format.h"
#include "runtime/test_models.h"

namespace onnxlocal {
namespace {

using testing::distance;
using testing::feed;
using ::testing::HasSubstr;
using testing::small_options;
using testing::text_tokens;
using testing::tiny_model;
using testing::try_load;
using testing::values_of;

constexpr SlotId kFirst{0};
constexpr SlotId kSecond{1};
constexpr SlotId kThird{2};

struct Case {
  const char* name;
  const char* library;
  const char* model;
  bool is_exact;  ///< The same bits in any company; else about the same.
  const char* mode = "whole";
  KvCacheType type = KvCacheType::kBf16;
};

void PrintTo(const Case& one, std::ostream* out) {
  *out << one.name << " with " << one.model << " and " << to_string(one.type);
}

class DecoderPagedTest : public ::testing::TestWithParam<Case> {
 protected:
  DecoderPagedTest() : decoder_(load_with({})) {}

  static std::unique_ptr<Decoder> load_with(RuntimeOptions options) {
    options.threads = 2;
    options.kv_cache_type = GetParam().type;
    options.slots = options.kv_bytes_max > 0 ? 4 : 20;
    options.execution_providers = {
        {.name = kOwnProviderShortName, .options = {}, .library = GetParam().library}};
    if (std::string_view(GetParam().mode) != "whole") {
      options.execution_providers[0].options.emplace("mode", GetParam().mode);
    }
    auto loaded = try_load(tiny_model(GetParam().model), options);
    EXPECT_TRUE(loaded.has_value()) << describe(loaded.error());
    return loaded ? std::move(loaded->decoder) : nullptr;
  }
  Decoder& decoder() { return *decoder_; }
  void expect_same(const std::vector<float>& a, const std::vector<float>& b) const {
    if (GetParam().is_exact) {
      EXPECT_EQ(a, b);
    } else {
      EXPECT_LT(distance(a, b), 0.01F);
    }
  }

 private:
  std::unique_ptr<Decoder> decoder_;
};

TEST_P(DecoderPagedTest, IsRaggedAndCountsItsPages) {
  EXPECT_EQ(decoder().limits().mixing, StepMixing::kRagged);
  EXPECT_EQ(decoder().limits().vocabulary_size, 259U);
  EXPECT_EQ(decoder().limits().slot_tokens_max, 256U);
  const bool is_int8 = GetParam().type == KvCacheType::kInt8;
  const std::uint64_t token_bytes = 2U * 2 * 2 * (is_int8 ? 16 + 4 : 16 * 2);
  EXPECT_EQ(decoder().limits().kv_bytes_per_token, token_bytes);
  EXPECT_EQ(decoder().layout().block_tokens, 32U);
  EXPECT_EQ(decoder().layout().block_bytes, 32U * token_bytes);
  EXPECT_THAT(decoder().layout().layout_id,
              AllOf(HasSubstr("onnx-local-"),
                    HasSubstr(is_int8 ? "/int8/pages1/2x2x16/" : "/bf16/pages1/2x2x16/")));
  EXPECT_EQ(decoder().free_tokens(), 20U * 256);
  feed(decoder(), kFirst, text_tokens(33));
  EXPECT_EQ(decoder().free_tokens(), 20U * 256 - 64);
}

TEST_P(DecoderPagedTest, AgreesWithTheSharedBuffers) {
  const auto tokens = text_tokens(100);
  RuntimeOptions options = small_options();
  const auto shared = testing::load(tiny_model(GetParam().model), options);
  const auto expected = feed(*shared, kFirst, tokens);
  // Keys and values in 16 bits or 8, and logits of about 10; the stock provider's q4 is a rounded
  // 8-bit one.
  const float rounding = GetParam().type == KvCacheType::kInt8 ? 0.3F : 0.15F;
  const float tolerance = std::string_view(GetParam().model) == "tiny_onnx_q4" ? 0.6F : rounding;
  EXPECT_LT(distance(expected, feed(decoder(), kFirst, tokens)), tolerance);
}

TEST_P(DecoderPagedTest, GivesTheSameInAnyChunks) {
  const auto tokens = text_tokens(90);
  const auto whole = feed(decoder(), kFirst, tokens, 90);
  for (const std::size_t chunk : {1U, 3U, 31U, 32U, 33U, 64U}) {
    decoder().truncate(kSecond, 0);
    expect_same(whole, feed(decoder(), kSecond, tokens, chunk));
  }
}

TEST_P(DecoderPagedTest, GivesTheSameAloneAndAmongSixteenOthers) {
  std::vector<std::vector<TokenId>> texts;
  std::vector<std::vector<float>> alone;
  for (std::uint32_t i = 0; i < 17; ++i) {
    texts.push_back(text_tokens(20 + 9 * i, i));
    alone.push_back(feed(decoder(), kFirst, texts[i], 256));
    decoder().truncate(kFirst, 0);
  }
  // Some have a few tokens left, some one, some many: one ragged step.
  std::vector<Step> steps;
  for (std::uint32_t i = 0; i < 17; ++i) {
    const std::size_t left = i % 3 == 0 ? 1 : i % 3 == 1 ? 5 : 17;
    const std::span<const TokenId> text = texts[i];
    feed(decoder(), SlotId{i}, text.first(text.size() - left), 40);
    steps.push_back({.slot = SlotId{i}, .tokens = text.last(left)});
  }
  const auto together = decoder().forward(steps);
  ASSERT_TRUE(together.has_value()) << describe(together.error());
  ASSERT_EQ(together->rows, 17U);
  for (std::uint32_t i = 0; i < 17; ++i) {
    const auto row = together->row(i);
    expect_same(alone[i], {row.begin(), row.end()});
  }
}

TEST_P(DecoderPagedTest, GivesRowsInTheOrderOfTheStepsThatWantThem) {
  const auto tokens = text_tokens(12);
  const auto other = text_tokens(7, 5);
  const std::array<Step, 3> steps{
      Step{.slot = kSecond, .tokens = other, .logits = LogitsWanted::kLast},
      Step{.slot = kThird, .tokens = other, .logits = LogitsWanted::kNone},
      Step{.slot = kFirst, .tokens = tokens, .logits = LogitsWanted::kAll}};
  const auto logits = decoder().forward(steps);
  ASSERT_TRUE(logits.has_value()) << describe(logits.error());
  ASSERT_EQ(logits->rows, 13U);
  const std::vector<float> first(logits->row(0).begin(), logits->row(0).end());
  const std::vector<float> fifth(logits->row(5).begin(), logits->row(5).end());
  const std::vector<float> last(logits->row(12).begin(), logits->row(12).end());
  EXPECT_EQ(decoder().length(kThird), 7U);
  for (const SlotId slot : {kFirst, kSecond, kThird}) decoder().truncate(slot, 0);
  expect_same(first, feed(decoder(), kFirst, other));
  expect_same(fifth, feed(decoder(), kSecond, std::span(tokens).first(5)));
  expect_same(last, feed(decoder(), kThird, tokens));
}

TEST_P(DecoderPagedTest, GivesNoRowsWhereNoneAreWanted) {
  const auto tokens = text_tokens(9);
  const Step step{.slot = kFirst, .tokens = tokens, .logits = LogitsWanted::kNone};
  const auto none = decoder().forward({&step, 1});
  ASSERT_TRUE(none.has_value()) << describe(none.error());
  EXPECT_EQ(none->rows, 0U);
  EXPECT_TRUE(none->values.empty());
  EXPECT_EQ(decoder().length(kFirst), 9U);
}

TEST_P(DecoderPagedTest, ContinuesFromACopiedPrefixThatItsOwnerGoesOnWith) {
  const auto tokens = text_tokens(120);
  const auto other = text_tokens(40, 3);
  const auto whole = feed(decoder(), kFirst, tokens);
  for (const std::uint32_t prefix : {32U, 64U, 71U}) {
    ASSERT_TRUE(decoder().copy_prefix(kFirst, kSecond, prefix).has_value());
    ASSERT_TRUE(decoder().copy_prefix(kFirst, kThird, prefix).has_value());
    feed(decoder(), kThird, other);
    expect_same(whole, feed(decoder(), kSecond, std::span(tokens).subspan(prefix)));
    decoder().truncate(kFirst, prefix);
    expect_same(whole, feed(decoder(), kFirst, std::span(tokens).subspan(prefix)));
    decoder().truncate(kSecond, 0);
    decoder().truncate(kThird, 0);
  }
}

TEST_P(DecoderPagedTest, ContinuesFromBlocksThatLeftAndCameBack) {
  const auto tokens = text_tokens(100);
  const auto whole = feed(decoder(), kFirst, tokens);
  const KvLayout& layout = decoder().layout();
  std::vector<std::byte> first(layout.block_bytes);
  std::vector<std::byte> rest(2 * layout.block_bytes);
  ASSERT_TRUE(decoder().export_blocks(kFirst, 0, first).has_value());
  ASSERT_TRUE(decoder().export_blocks(kFirst, 1, rest).has_value());
  decoder().truncate(kFirst, 0);
  feed(decoder(), kFirst, text_tokens(100, 8));
  ASSERT_TRUE(decoder().import_blocks(kThird, first).has_value());
  ASSERT_TRUE(decoder().import_blocks(kThird, rest).has_value());
  EXPECT_EQ(decoder().length(kThird), 96U);
  expect_same(whole, feed(decoder(), kThird, std::span(tokens).subspan(96)));
}

TEST_P(DecoderPagedTest, ForgetsWhatWasTruncated) {
  const auto tokens = text_tokens(70);
  const auto whole = feed(decoder(), kFirst, tokens);
  for (const std::uint32_t kept : {10U, 32U, 45U}) {
    decoder().truncate(kSecond, 0);
    feed(decoder(), kSecond, std::span(tokens).first(kept));
    feed(decoder(), kSecond, text_tokens(100, 9));
    decoder().truncate(kSecond, kept);
    expect_same(whole, feed(decoder(), kSecond, std::span(tokens).subspan(kept)));
  }
}

TEST_P(DecoderPagedTest, EmptiesTheSlotsOfAFailedStepAndGoesOn) {
  const auto tokens = text_tokens(8);
  const auto before = feed(decoder(), kSecond, tokens);
  const std::vector<TokenId> outside{5, 100000};
  const Step step{.slot = kFirst, .tokens = outside};
  const auto failed = decoder().forward({&step, 1});
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, ErrorCode::kInternal);
  EXPECT_EQ(decoder().length(kFirst), 0U);
  EXPECT_EQ(decoder().length(kSecond), 8U);
  expect_same(before, feed(decoder(), kFirst, tokens));
}

TEST_P(DecoderPagedTest, FillsASlotToItsLastToken) {
  const auto tokens = text_tokens(256);
  const auto last = feed(decoder(), kFirst, tokens, 255);
  EXPECT_EQ(decoder().length(kFirst), 256U);
  expect_same(last, feed(decoder(), kSecond, tokens, 64));
}

TEST_P(DecoderPagedTest, SaysWhenKeysAndValuesHaveNoRoomLeft) {
  // Room for 10 pages, four slots of eight.
  RuntimeOptions options;
  options.kv_bytes_max = 10 * decoder().layout().block_bytes;
  const auto small = load_with(options);
  EXPECT_EQ(small->limits().slot_tokens_max, 256U);
  const auto before = feed(*small, kFirst, text_tokens(200));
  EXPECT_EQ(small->free_tokens(), 3U * 32);
  const auto tokens = text_tokens(97);
  const Step step{.slot = kSecond, .tokens = tokens};
  const auto failed = small->forward({&step, 1});
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, ErrorCode::kOverloaded);
  EXPECT_EQ(small->length(kSecond), 0U);
  EXPECT_EQ(small->free_tokens(), 3U * 32);
  EXPECT_EQ(small->length(kFirst), 200U);
  small->truncate(kFirst, 0);
  expect_same(before, feed(*small, kFirst, text_tokens(200)));
}

TEST_P(DecoderPagedTest, LimitsTheContextToTheRoomForKeysAndValues) {
  RuntimeOptions options;
  options.kv_bytes_max = 3 * decoder().layout().block_bytes + 1;
  EXPECT_EQ(load_with(options)->limits().slot_tokens_max, 96U);
}

/// The provider itself lies beside the tests where it is in the build, or is named by the
/// environment.
std::vector<Case> cases() {
  static const auto plugin = find_own_provider();
  std::vector<Case> all;
  for (const char* model : {"tiny_onnx", "tiny_onnx_foreign", "tiny_onnx_q4"}) {
    all.push_back({"Double", EP_DOUBLE_PAGED, model, false});
    if (!plugin) continue;
    all.push_back({"Plugin", plugin->c_str(), model, true});
    all.push_back({"PluginInt8", plugin->c_str(), model, true, "whole", KvCacheType::kInt8});
    // The operators between ours are then ONNX Runtime's, whose bits depend on the rows beside
    // them.
    all.push_back({"PluginOneNodeAtATime", plugin->c_str(), model, false, "single"});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Models, DecoderPagedTest, ::testing::ValuesIn(cases()),
                         [](const auto& info) {
                           return std::string(info.param.name) + "_" + info.param.model;
                         });

}  // namespace
}  // namespace onnxlocal
