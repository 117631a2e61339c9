#include "base/block_file.h"

#include <array>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;

class BlockFileTest : public ::testing::Test {
 protected:
  BlockFileTest() { fs::remove_all(folder); }
  ~BlockFileTest() override { fs::remove_all(folder); }
  fs::path folder = fs::path(testing::TempDir()) / "block_file_test" / "inner";
  fs::path path = folder / "file";
};

constexpr std::array<std::byte, 3> kBytes = {std::byte{1}, std::byte{2}, std::byte{3}};

TEST_F(BlockFileTest, ReadsWhatWasWrittenAnywhere) {
  ASSERT_TRUE(make_private_folder(folder));
  const auto file = open_block_file(path, BlockFileMode::kCreate);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_TRUE((*file)->reserve(1000));
  EXPECT_EQ((*file)->size_bytes().value_or(0), 1000U);
  ASSERT_TRUE((*file)->write_at(500, kBytes));
  std::array<std::byte, 3> read{};
  ASSERT_TRUE((*file)->read_at(500, read));
  EXPECT_EQ(read, kBytes);
}

TEST_F(BlockFileTest, IsItsOwnersAlone) {
  fs::create_directories(folder);
  ASSERT_TRUE(make_private_folder(folder));
  ASSERT_TRUE(open_block_file(path, BlockFileMode::kCreate));
  EXPECT_EQ(fs::status(folder).permissions(), fs::perms::owner_all);
  EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(BlockFileTest, SaysWhatCannotBe) {
  ASSERT_TRUE(make_private_folder(folder));
  EXPECT_EQ(open_block_file(path, BlockFileMode::kWrite).error().code, ErrorCode::kNotFound);
  const auto file = open_block_file(path, BlockFileMode::kCreate);
  EXPECT_FALSE(open_block_file(path, BlockFileMode::kCreate));
  std::array<std::byte, 3> read{};
  EXPECT_FALSE((*file)->read_at(0, read));
  EXPECT_FALSE((*file)->read_at(~std::uint64_t{0}, read));
  EXPECT_EQ((*file)->reserve(~std::uint64_t{0} / 4).error().code, ErrorCode::kDiskFull);
}

TEST_F(BlockFileTest, FollowsNoLink) {
  ASSERT_TRUE(make_private_folder(folder));
  std::ofstream(folder / "target") << "text";
  fs::create_symlink(folder / "target", path);
  EXPECT_FALSE(open_block_file(path, BlockFileMode::kWrite));
  EXPECT_FALSE(open_block_file(folder, BlockFileMode::kRead));
}

}  // namespace
}  // namespace onnxlocal
