#include "base/environment.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string_view>

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;

/// A made-up /proc and /sys: tests say what a machine or container looks like, file by file.
class System : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) /
            testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
    file("proc/meminfo", "MemTotal:        1000 kB\nMemFree: 1 kB\n");
  }
  void TearDown() override { fs::remove_all(root_); }

  void file(const fs::path& path, std::string_view text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  void core(unsigned cpu, std::string_view siblings) {
    file("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/core_cpus_list", siblings);
  }
  void four_cores() {
    for (unsigned cpu = 0; cpu < 4; ++cpu) core(cpu, std::to_string(cpu) + "\n");
  }
  unsigned cores() const { return physical_cores(kFour, root_); }

  static constexpr std::array<unsigned, 4> kFour{0, 1, 2, 3};
  fs::path root_;
};

TEST_F(System, ThreadsOfOneCoreCountOnce) {
  core(0, "0,2\n");
  core(2, "0,2\n");
  core(1, "1,3\n");
  core(3, "1,3\n");
  EXPECT_EQ(cores(), 2U);
}

TEST_F(System, OnlyAllowedProcessorsCount) {
  four_cores();
  EXPECT_EQ(physical_cores(std::array<unsigned, 1>{3}, root_), 1U);
}

TEST_F(System, EachProcessorIsACoreWhereNothingIsKnown) { EXPECT_EQ(cores(), 4U); }

TEST_F(System, ThereIsAlwaysOneCore) { EXPECT_EQ(physical_cores({}, root_), 1U); }

TEST_F(System, ACpuQuotaBindsAndIsRoundedUp) {
  four_cores();
  file("proc/self/cgroup", "0::/box\n");
  file("sys/fs/cgroup/box/cpu.max", "150000 100000\n");
  EXPECT_EQ(cores(), 2U);
}

TEST_F(System, AQuotaOfAParentBindsToo) {
  four_cores();
  file("proc/self/cgroup", "0::/outer/inner\n");
  file("sys/fs/cgroup/outer/cpu.max", "100000 100000\n");
  file("sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
  EXPECT_EQ(cores(), 1U);
}

TEST_F(System, APathThatIsNotMountedFallsBackToTheMountsRoot) {
  four_cores();
  file("proc/self/cgroup", "0::/docker/abc\n");
  file("sys/fs/cgroup/cpu.max", "300000 100000\n");
  EXPECT_EQ(cores(), 3U);
}

TEST_F(System, OldCgroupsAreUnderstood) {
  four_cores();
  file("proc/self/cgroup", "5:memory:/box\n4:cpu,cpuacct:/box\n");
  file("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "50000\n");
  file("sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
  file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  file("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "4096\n");
  EXPECT_EQ(cores(), 1U);
  EXPECT_EQ(memory_limit_bytes(root_), 4096U);
}

TEST_F(System, BrokenFilesLimitNothing) {
  four_cores();
  file("proc/self/cgroup", "garbage\n:\n0::\n");
  file("sys/fs/cgroup/cpu.max", "lots of it\n");
  file("sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(cores(), 4U);
  EXPECT_EQ(memory_limit_bytes(root_), 1000U * 1024);
}

TEST_F(System, TheSmallerMemoryLimitCounts) {
  file("proc/self/cgroup", "0::/\n");
  file("sys/fs/cgroup/memory.max", "500000\n");
  EXPECT_EQ(memory_limit_bytes(root_), 500000U);
  file("sys/fs/cgroup/memory.max", "9223372036854771712\n");
  EXPECT_EQ(memory_limit_bytes(root_), 1000U * 1024);
}

TEST(Environment, ThisMachineHasCoresAndMemory) {
  EXPECT_GE(usable_physical_cores(), 1U);
  EXPECT_GT(usable_memory_bytes(), resident_memory_bytes());
  EXPECT_GT(resident_memory_bytes(), 0U);
}

TEST(Environment, AnEmptyVariableIsAsIfUnset) {
  ASSERT_EQ(setenv("ONNXLOCAL_ENVIRONMENT_TEST", "", 1), 0);
  EXPECT_EQ(environment_variable("ONNXLOCAL_ENVIRONMENT_TEST"), std::nullopt);
  ASSERT_EQ(setenv("ONNXLOCAL_ENVIRONMENT_TEST", "x", 1), 0);
  EXPECT_EQ(environment_variable("ONNXLOCAL_ENVIRONMENT_TEST"), "x");
  ASSERT_EQ(unsetenv("ONNXLOCAL_ENVIRONMENT_TEST"), 0);
  EXPECT_EQ(environment_variable("ONNXLOCAL_ENVIRONMENT_TEST"), std::nullopt);
}

}  // namespace
}  // namespace onnxlocal
