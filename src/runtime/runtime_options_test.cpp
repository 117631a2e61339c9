#include "runtime/runtime_options.h"

#include <gmock/gmock.h>

#include "runtime/model_session.h"

namespace onnxlocal {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::Pair;

TEST(ExecutionProviders, AreReadInTheirOrder) {
  const auto choices = parse_execution_providers("cuda, CPUExecutionProvider");
  ASSERT_TRUE(choices.has_value());
  EXPECT_THAT(*choices, ElementsAre(Field(&ExecutionProviderChoice::name, "cuda"),
                                    Field(&ExecutionProviderChoice::name, "cpu")));
}

TEST(ExecutionProviders, CarryTheirOptions) {
  const auto choices =
      parse_execution_providers("cuda:device_id=0;arena_extend_strategy=kSameAsRequested,cpu");
  ASSERT_TRUE(choices.has_value());
  EXPECT_THAT(
      choices->front().options,
      ElementsAre(Pair("arena_extend_strategy", "kSameAsRequested"), Pair("device_id", "0")));
}

TEST(ExecutionProviders, NameAPluginWithItsLibrary) {
  const auto choices = parse_execution_providers("fast@/opt/lib/fast.so:threads=4");
  ASSERT_TRUE(choices.has_value());
  EXPECT_EQ(choices->front().name, "fast");
  EXPECT_EQ(choices->front().library, "/opt/lib/fast.so");
  EXPECT_THAT(choices->front().options, ElementsAre(Pair("threads", "4")));
}

TEST(ExecutionProviders, AreRefusedWithTheirForm) {
  for (const char* text : {"", " , ", "cuda:device_id", "cu da", "fast@", ":x=1", "a:=1"}) {
    const auto choices = parse_execution_providers(text);
    ASSERT_FALSE(choices.has_value()) << text;
    EXPECT_EQ(choices.error().code, ErrorCode::kInvalidRequest);
    EXPECT_FALSE(choices.error().hint.empty());
  }
}

TEST(ExecutionProviders, AreListedWithTheCpuAmongThem) {
  EXPECT_THAT(list_execution_providers(), Contains(Field(&ExecutionProviderInfo::name, "cpu")));
  EXPECT_TRUE(onnxruntime_version().starts_with("1."));
}

TEST(GraphOptimization, IsReadByItsName) {
  for (const char* name : {"disabled", "basic", "extended", "all"}) {
    const auto level = parse_graph_optimization(name);
    ASSERT_TRUE(level.has_value());
    EXPECT_EQ(to_string(*level), name);
  }
  EXPECT_FALSE(parse_graph_optimization("some").has_value());
}

}  // namespace
}  // namespace onnxlocal
