#include "inspect/measure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "inspect/test_decoder.h"

namespace onnxlocal {
namespace {

using testing::HasSubstr;

TEST(Measure, FindsEverySpeedAndLeavesTheSlotsEmpty) {
  CountingDecoder decoder(4, 64, 8);
  const auto result = measure_decoder(decoder, {.prompt_tokens = 20,
                                                .generate_tokens = 5,
                                                .depth_tokens = 30,
                                                .streams = 4,
                                                .repetitions = 2});
  ASSERT_TRUE(result) << describe(result.error());
  EXPECT_GT(result->first_token_ms, 0);
  EXPECT_GT(result->prefill_tokens_per_s, 0);
  EXPECT_GT(result->decode_tokens_per_s, 0);
  EXPECT_EQ(decoder.widest_step, 4U);
  for (std::uint32_t slot = 0; slot < 4; ++slot) EXPECT_EQ(decoder.length(SlotId{slot}), 0U);
}

TEST(Measure, LeavesOutWhatIsNotAskedFor) {
  CountingDecoder decoder(1, 64, 64);
  const auto result = measure_decoder(decoder, {.prompt_tokens = 0, .generate_tokens = 0});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->prefill_tokens_per_s, 0);
  EXPECT_EQ(result->decode_tokens_per_s, 0);
}

TEST(Measure, RefusesWhatDoesNotFit) {
  CountingDecoder decoder(2, 64, 64);
  const auto deep =
      measure_decoder(decoder, {.prompt_tokens = 40, .generate_tokens = 8, .depth_tokens = 30});
  ASSERT_FALSE(deep);
  EXPECT_THAT(deep.error().message, HasSubstr("70"));
  EXPECT_FALSE(measure_decoder(decoder, {.prompt_tokens = 8, .generate_tokens = 8, .streams = 3}));
  EXPECT_FALSE(measure_decoder(decoder, {.prompt_tokens = 8, .generate_tokens = 8, .streams = 0}));
}

TEST(Measure, CanBeCancelled) {
  CountingDecoder decoder(1, 64, 64);
  std::stop_source stop;
  const auto result =
      measure_decoder(decoder, {.prompt_tokens = 8, .generate_tokens = 8}, stop.get_token(),
                      [&](auto, auto, auto) { stop.request_stop(); });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kCancelled);
}

TEST(Measure, SeveralStreamsAreTimedFromTheirPromptsToTheirLastTokens) {
  CountingDecoder decoder(4, 64, 16);
  const auto result = measure_decoder(
      decoder, {.prompt_tokens = 8, .generate_tokens = 4, .streams = 4, .repetitions = 1});
  ASSERT_TRUE(result.has_value());
  EXPECT_GT(result->total_tokens_per_s, 0);
}

TEST(Measure, OneStreamHasNoTotal) {
  CountingDecoder decoder(1, 64, 16);
  const auto result =
      measure_decoder(decoder, {.prompt_tokens = 8, .generate_tokens = 4, .repetitions = 1});
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->total_tokens_per_s, 0);
}

}  // namespace
}  // namespace onnxlocal
