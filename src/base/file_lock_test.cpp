#include "base/file_lock.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;

class FileLockTest : public testing::Test {
 protected:
  FileLockTest()
      : folder_(fs::path(testing::TempDir()) / ("onnxlocal-lock-" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
  }
  ~FileLockTest() override { fs::remove_all(folder_); }
  fs::path folder_;
};

TEST_F(FileLockTest, IsHeldByOneAtATime) {
  auto first = FileLock::acquire(folder_ / "lock");
  ASSERT_TRUE(first.has_value());
  EXPECT_FALSE(FileLock::try_acquire(folder_ / "lock"));
  EXPECT_FALSE(FileLock::try_share(folder_ / "lock"));
  first = std::unexpected(Error{});
  EXPECT_TRUE(FileLock::try_acquire(folder_ / "lock"));
}

TEST_F(FileLockTest, IsSharedByThoseWhoShareIt) {
  auto first = FileLock::try_share(folder_);
  auto second = FileLock::try_share(folder_);
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(FileLock::try_acquire(folder_));
  first.reset();
  EXPECT_FALSE(FileLock::try_acquire(folder_));
  second.reset();
  EXPECT_TRUE(FileLock::try_acquire(folder_));
}

TEST_F(FileLockTest, StaysWithAFolderThatIsRenamed) {
  fs::create_directories(folder_ / "a");
  const auto held = FileLock::try_share(folder_ / "a");
  ASSERT_TRUE(held);
  fs::rename(folder_ / "a", folder_ / "b");
  EXPECT_FALSE(FileLock::try_acquire(folder_ / "b"));
}

TEST_F(FileLockTest, SaysThatTheFileCannotBeMade) {
  EXPECT_FALSE(FileLock::try_share(folder_ / "none"));
  const auto lock = FileLock::acquire(folder_ / "none" / "lock");
  ASSERT_FALSE(lock.has_value());
  EXPECT_EQ(lock.error().code, ErrorCode::kInternal);
}

TEST_F(FileLockTest, CanBeCancelledWhileItWaits) {
  const auto held = FileLock::acquire(folder_ / "lock");
  ASSERT_TRUE(held.has_value());
  std::stop_source stop;
  const auto lock =
      FileLock::acquire(folder_ / "lock", stop.get_token(), [&] { stop.request_stop(); });
  ASSERT_FALSE(lock.has_value());
  EXPECT_EQ(lock.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace onnxlocal
