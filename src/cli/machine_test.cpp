#include "cli/machine.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ProcessorInfo, NamesTheFeaturesThatMatter) {
  const auto info = parse_processor_info(
      "processor\t: 0\nmodel name\t: Some CPU @ 2GHz\nflags\t\t: fpu avx avx2 sse avx512_vnni\n"
      "processor\t: 1\nmodel name\t: Another\nflags\t\t: fpu\n");
  EXPECT_EQ(info.name, "Some CPU @ 2GHz");
  EXPECT_THAT(info.features, ElementsAre("avx", "avx2", "avx512_vnni"));
}

TEST(ProcessorInfo, ReadsArmToo) {
  const auto info = parse_processor_info("processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n");
  EXPECT_EQ(info.name, "");
  EXPECT_THAT(info.features, ElementsAre("asimd", "asimddp", "i8mm"));
  EXPECT_THAT(parse_processor_info("").features, IsEmpty());
}

TEST(Machine, HasProcessorsAndMemory) {
  EXPECT_GE(logical_processors(), 1U);
  EXPECT_GT(machine_memory_bytes(), 0U);
}

TEST(Machine, KnowsWhereItMayWrite) {
  EXPECT_TRUE(is_writable(std::filesystem::temp_directory_path() / "not" / "there"));
  EXPECT_FALSE(is_writable("/proc/self/not-there"));
}

TEST(PortProbe, FindsAFreePort) { EXPECT_EQ(probe_port("127.0.0.1", 0).value(), PortState::kFree); }

TEST(PortProbe, SaysWhyAnAddressCannotBeUsed) {
  const auto state = probe_port("192.0.2.1", 3001);
  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace onnxlocal
