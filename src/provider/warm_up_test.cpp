#include "provider/warm_up.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "fake_decoder.h"

namespace onnxlocal {
namespace {

struct Warmed {
  Warmed() {
    auto owned = std::make_unique<FakeDecoder>();
    decoder = owned.get();
    auto started = Engine::start(std::move(owned), nullptr, EngineOptions());
    EXPECT_TRUE(started.has_value());
    engine = *std::move(started);
  }
  FakeDecoder* decoder = nullptr;
  std::unique_ptr<Engine> engine;
};

TEST(WarmUp, ComputesAPromptAndAToken) {
  const Warmed model;
  warm_up(*model.engine, {});
  EXPECT_EQ(model.engine->status().sequences_finished, 1U);
  EXPECT_GE(model.decoder->counts().forwards, 2U);
  EXPECT_EQ(model.engine->status().prefix_cache_bytes, 0U);
}

TEST(WarmUp, EndsWhereTheModelFails) {
  const Warmed model;
  model.decoder->fail_forward(1);
  warm_up(*model.engine, {});
  EXPECT_EQ(model.engine->status().sequences_failed, 1U);
}

TEST(WarmUp, IsLeftWhenLoadingIsStopped) {
  const Warmed model;
  std::stop_source stop;
  stop.request_stop();
  warm_up(*model.engine, stop.get_token());
  EXPECT_TRUE(model.engine->shut_down(Deadline::after(std::chrono::seconds(10))));
}

}  // namespace
}  // namespace onnxlocal
