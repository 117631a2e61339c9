#include "inspect/step_profile.h"

#include <gmock/gmock.h>

namespace onnxlocal {
namespace {

using ::testing::HasSubstr;

TEST(StepProfile, AddsUpTheKernelsAndPutsTheSlowestFirst) {
  const auto times = parse_kernel_times(
      "{\"kind\":\"run\",\"calls\":3,\"rows\":40}\n"
      "{\"kind\":\"norm\",\"calls\":6,\"nanoseconds\":1500000}\n"
      "{\"kind\":\"product\",\"calls\":9,\"nanoseconds\":4000000}\n"
      "{\"kind\":\"product\",\"calls\":1,\"nanoseconds\":1000000}\n");
  ASSERT_TRUE(times.has_value());
  ASSERT_EQ(times->size(), 2U);
  EXPECT_EQ(times->front().kind, "product");
  EXPECT_EQ(times->front().calls, 10U);
  EXPECT_DOUBLE_EQ(times->front().milliseconds, 5.0);
  EXPECT_DOUBLE_EQ(times->back().milliseconds, 1.5);
}

TEST(StepProfile, NamesALineThatIsNone) {
  const auto times =
      parse_kernel_times("{\"kind\":\"norm\",\"calls\":6,\"nanoseconds\":1}\nnorm 7\n");
  ASSERT_FALSE(times.has_value());
  EXPECT_THAT(times.error().message, HasSubstr("norm 7"));
}

}  // namespace
}  // namespace onnxlocal
