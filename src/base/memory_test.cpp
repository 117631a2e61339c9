#include "base/memory.h"

#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "base/environment.h"

namespace onnxlocal {
namespace {

TEST(LazyMemory, TakesNoRoomBeforeItIsWrittenToAndGivesItBack) {
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  constexpr std::size_t kSlack = std::size_t{16} << 20;
  const std::size_t before = resident_memory_bytes();
  auto memory = LazyMemory::reserve(1024 * kBytes);
  ASSERT_TRUE(memory.has_value());
  EXPECT_EQ(memory->size_bytes(), 1024 * kBytes);
  EXPECT_LT(resident_memory_bytes(), before + kSlack);
  std::memset(memory->begin() + 5 * kBytes, 1, kBytes);
  EXPECT_GT(resident_memory_bytes(), before + kBytes - kSlack);
  memory->release(memory->begin() + 5 * kBytes, kBytes);
  EXPECT_LT(resident_memory_bytes(), before + kSlack);
}

TEST(LazyMemory, KeepsWhatSharesAPageWithTheReleased) {
  auto memory = LazyMemory::reserve(4 * kPageBytes);
  ASSERT_TRUE(memory.has_value());
  std::byte* const begin = memory->begin();
  std::memset(begin, 7, 4 * kPageBytes);
  memory->release(begin + 10, 2 * kPageBytes);
  EXPECT_EQ(begin[9], std::byte{7});
  EXPECT_EQ(begin[2 * kPageBytes + 10], std::byte{7});
  EXPECT_EQ(begin[kPageBytes], std::byte{0});
  memory->release(begin + 1, kPageBytes - 2);
  EXPECT_EQ(begin[1], std::byte{7});
}

TEST(LazyMemory, RefusesWhatNoAddressSpaceHolds) {
  for (const std::size_t bytes : {std::size_t{0}, std::numeric_limits<std::size_t>::max() / 2}) {
    const auto memory = LazyMemory::reserve(bytes);
    ASSERT_FALSE(memory.has_value());
    EXPECT_EQ(memory.error().code, ErrorCode::kUnavailable);
  }
}

TEST(TrimHeap, LeavesWhatIsInUse) {
  const std::string text(1 << 20, 'x');
  trim_heap();
  EXPECT_EQ(text.find_first_not_of('x'), std::string::npos);
}

}  // namespace
}  // namespace onnxlocal
