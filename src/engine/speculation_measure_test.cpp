#include "engine/speculation_measure.h"

#include <vector>

#include <gtest/gtest.h>

#include "fake_decoder.h"

namespace onnxlocal {
namespace {

FakeDecoderOptions ragged() {
  return {.slot_tokens_max = 600, .chunk_tokens_max = 128, .mixing = StepMixing::kRagged};
}

TEST(MeasureSpeculation, WritesTheRecordedTextWithGuessesAndWithout) {
  FakeDecoder decoder(ragged());
  RecordedText text = made_up_text(200, 2, 300);
  text.answer = text.prompt;  // An edit that changes one token.
  text.answer[100] = 7;
  const auto measured =
      measure_speculation(decoder, text, {.repetitions = 1, .measure_costs = false});
  ASSERT_TRUE(measured.has_value()) << measured.error().message;
  EXPECT_GT(measured->decode_tokens_per_s, 0);
  EXPECT_GT(measured->plain_decode_tokens_per_s, 0);
  EXPECT_GT(measured->accepted_tokens, 120U);
  EXPECT_LT(measured->accepted_tokens, 200U);
  EXPECT_EQ(decoder.length(SlotId{0}), 0U);
  EXPECT_TRUE(decoder.counts().violations.empty());
}

TEST(MeasureSpeculation, MakesGuessesThatAreRightAsOftenAsAsked) {
  FakeDecoder decoder(ragged());
  const RecordedText text = made_up_text(16, 500, 300);
  for (const double acceptance : {0.8, 1.0}) {
    const auto measured = measure_speculation(
        decoder, text, {.acceptance = acceptance, .repetitions = 1, .measure_costs = false});
    ASSERT_TRUE(measured.has_value());
    EXPECT_GT(measured->accepted_tokens, 200U);
    EXPECT_EQ(measured->accepted_tokens == measured->draft_tokens, acceptance == 1.0);
  }
}

TEST(MeasureSpeculation, SaysWhyItCannot) {
  FakeDecoder stock;
  const RecordedText text = made_up_text(16, 50, 300);
  EXPECT_EQ(measure_speculation(stock, text, {}).error().code, ErrorCode::kUnsupported);
  FakeDecoder decoder(ragged());
  EXPECT_EQ(measure_speculation(decoder, made_up_text(16, 1, 300), {}).error().code,
            ErrorCode::kInvalidRequest);
  EXPECT_EQ(measure_speculation(decoder, made_up_text(16, 900, 300), {}).error().code,
            ErrorCode::kInvalidRequest);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(measure_speculation(decoder, text, {}, stop.get_token()).error().code,
            ErrorCode::kCancelled);
  decoder.fail_forward(3);
  EXPECT_EQ(measure_speculation(decoder, text, {}).error().code, ErrorCode::kInternal);
}

}  // namespace
}  // namespace onnxlocal
