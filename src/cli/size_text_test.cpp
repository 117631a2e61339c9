#include "cli/size_text.h"

#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

TEST(ParseSize, ReadsBytesAndUnits) {
  EXPECT_EQ(parse_size("123"), 123U);
  EXPECT_EQ(parse_size("4K"), 4096U);
  EXPECT_EQ(parse_size("512m"), 512U << 20);
  EXPECT_EQ(parse_size("8G"), std::uint64_t{8} << 30);
}

TEST(ParseSize, RefusesWhatIsNoSize) {
  for (const char* text : {"", "G", "-1", "1.5G", "8GB", "8 G", "99999999999T", "1e3"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
}

}  // namespace
}  // namespace onnxlocal
