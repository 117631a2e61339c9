#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/loop.h"
#include "event_recorder.h"
#include "fake_constraint.h"
#include "fake_decoder.h"
#include "requests.h"

namespace onnxlocal {

/// The engine's loop over the fake decoder, driven step by step on the test's own thread; the
/// invariants hold after each step.
struct Stepper {
  explicit Stepper(FakeDecoderOptions decoder_options = {}, EngineOptions options = {},
                   MaskDispatch masks = masks_at_once(),
                   std::unique_ptr<Drafter> drafter = nullptr) {
    options.random_seed = 1;
    options.speculation.measure_costs = false;
    auto owned = std::make_unique<FakeDecoder>(std::move(decoder_options));
    decoder = owned.get();
    loop = std::make_unique<EngineLoop>(std::move(owned), nullptr, std::move(options),
                                        std::move(drafter), std::move(masks));
  }
  ~Stepper() { EXPECT_EQ(decoder->counts().violations, std::vector<std::string>{}); }

  EventRecorder submit(SequenceRequest request) {
    EventRecorder recorder;
    const auto id = loop->submit(std::move(request), recorder.sink());
    EXPECT_TRUE(id.has_value()) << id.error().message;
    if (id) last_id = *id;
    return recorder;
  }
  EventRecorder submit_greedy(std::vector<TokenId> prompt, std::uint32_t tokens_max,
                              Priority priority = Priority::kLive) {
    return submit(greedy(std::move(prompt), tokens_max, priority));
  }
  EventRecorder submit_batch(std::vector<TokenId> prompt, std::uint32_t tokens_max) {
    return submit_greedy(std::move(prompt), tokens_max, Priority::kBatch);
  }
  Error refused(SequenceRequest request) {
    const auto id = loop->submit(std::move(request), [](GenerationEvent) { ADD_FAILURE(); });
    EXPECT_FALSE(id.has_value());
    return id ? Error{} : id.error();
  }
  bool step() {
    const bool ran = loop->run_one_step();
    const auto sound = loop->check_invariants();
    EXPECT_TRUE(sound.has_value()) << sound.error().message;
    return ran;
  }
  void run_all() {
    while (step()) {
    }
  }

  FakeDecoder* decoder = nullptr;
  std::unique_ptr<EngineLoop> loop;
  SequenceId last_id;
};

}  // namespace onnxlocal
