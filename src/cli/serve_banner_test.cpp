#include "cli/serve_banner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

using testing::HasSubstr;

TEST(ServeBanner, HasLinesToCopy) {
  const std::string text =
      to_text({.url = "http://127.0.0.1:4000", .model = "m", .context_tokens = 8192});
  EXPECT_THAT(text, HasSubstr("curl http://127.0.0.1:4000/v1/messages"));
  EXPECT_THAT(text, HasSubstr("\"model\": \"onnx-local/m\""));
  EXPECT_THAT(text, HasSubstr("ANTHROPIC_BASE_URL=http://127.0.0.1:4000"));
  EXPECT_THAT(text, HasSubstr("CLAUDE_CODE_MAX_CONTEXT_TOKENS=8192"));
  EXPECT_THAT(text, HasSubstr("CLAUDE_CODE_MAX_OUTPUT_TOKENS=2048"));
}

TEST(ServeBanner, SaysThatThereIsNoModel) {
  EXPECT_THAT(to_text({.url = "http://localhost:1", .model = ""}), HasSubstr("No model"));
}

TEST(ServeBanner, ShowsWhereAKeyGoes) {
  EXPECT_THAT(to_text({.url = "http://localhost:1", .model = "m"}),
              HasSubstr("ANTHROPIC_API_KEY=local"));
  const std::string text = to_text({.url = "http://localhost:1", .model = "m", .has_keys = true});
  EXPECT_THAT(text, HasSubstr("-H 'x-api-key: KEY'"));
  EXPECT_THAT(text, HasSubstr("ANTHROPIC_API_KEY=KEY"));
}

TEST(ServeBanner, LeavesRoomForAPromptInEveryContext) {
  EXPECT_EQ(claude_output_tokens(512), 256U);
  EXPECT_EQ(claude_output_tokens(32768), 8192U);
  EXPECT_EQ(claude_output_tokens(1U << 20U), 32000U);
}

}  // namespace
}  // namespace onnxlocal
