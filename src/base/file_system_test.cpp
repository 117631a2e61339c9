#include "base/file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

class FileSystem : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write(const fs::path& name, std::string_view text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }
  std::string read(const fs::path& path) const {
    return read_text_file(path, 1 << 20).value_or("(no file)");
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      names.push_back(entry.path().filename().string());
    }
    std::ranges::sort(names);
    return names;
  }
  static std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
  }

  fs::path folder_;
};

TEST_F(FileSystem, MapsAFile) {
  const auto file = MappedFile::open(write("a", "hello"));
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(file->bytes().size(), 5U);
  EXPECT_EQ(static_cast<char>(file->bytes()[4]), 'o');
}

TEST_F(FileSystem, AnEmptyFileMapsToNoBytes) {
  const auto file = MappedFile::open(write("a", ""));
  ASSERT_TRUE(file.has_value());
  EXPECT_TRUE(file->bytes().empty());
}

TEST_F(FileSystem, AMappedFileMoves) {
  auto first = MappedFile::open(write("a", "1"));
  auto second = MappedFile::open(write("b", "22"));
  ASSERT_TRUE(first && second);
  *first = std::move(*second);
  EXPECT_EQ(first->bytes().size(), 2U);
}

TEST_F(FileSystem, AFolderOrNothingCannotBeMapped) {
  const auto folder = MappedFile::open(folder_);
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, ErrorCode::kInvalidRequest);
  const auto nothing = MappedFile::open(folder_ / "nothing");
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(nothing.error().message, testing::HasSubstr("nothing"));
}

TEST_F(FileSystem, ReadsUpToItsLimitAndNotBeyond) {
  const auto path = write("a", std::string("four"));
  EXPECT_EQ(read_text_file(path, 4).value_or(""), "four");
  const auto beyond = read_text_file(path, 3);
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, ErrorCode::kTooLarge);
}

TEST_F(FileSystem, ReadingWhatIsNotAFileIsAnError) {
  EXPECT_EQ(read_text_file(folder_ / "x", 9).error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(read_text_file(folder_, 9).has_value());
}

TEST_F(FileSystem, WritesATextWholeAndReplacesIt) {
  ASSERT_TRUE(write_text_file(folder_ / "a", "old"));
  ASSERT_TRUE(write_text_file(folder_ / "a", "new"));
  EXPECT_EQ(read(folder_ / "a"), "new");
  EXPECT_THAT(names(), ElementsAre("a"));
}

TEST_F(FileSystem, WritingIntoAMissingFolderIsAnError) {
  const auto written = write_text_file(folder_ / "missing" / "a", "x");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kNotFound);
}

TEST_F(FileSystem, AWriterShowsNothingBeforeCommit) {
  {
    auto writer = FileWriter::create(folder_ / "a");
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->write(bytes("part")));
    EXPECT_FALSE(fs::exists(folder_ / "a"));
  }
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(FileSystem, AWriterKeepsTheOrderOfSmallAndLargePieces) {
  const std::string large(300'000, 'x');
  auto writer = FileWriter::create(folder_ / "a");
  ASSERT_TRUE(writer);
  ASSERT_TRUE(writer->write(bytes("<")));
  ASSERT_TRUE(writer->write(bytes(large)));
  ASSERT_TRUE(writer->write(bytes(">")));
  EXPECT_EQ(writer->size_bytes(), large.size() + 2);
  ASSERT_TRUE(writer->commit());
  EXPECT_EQ(read(folder_ / "a"), "<" + large + ">");
}

TEST_F(FileSystem, NoRoomIsSaidSoAndLeavesTheOldText) {
  ASSERT_TRUE(write_text_file(folder_ / "a", "old"));
  // A limit on the size of files fails a write as a full disk does, at a byte of our choice.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 10, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto written = write_text_file(folder_ / "a", std::string(1000, 'x'));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(read(folder_ / "a"), "old");
  EXPECT_THAT(names(), ElementsAre("a"));
}

TEST_F(FileSystem, AStagedFolderAppearsWhole) {
  auto staged = StagedFolder::create(folder_ / "deep" / "model");
  ASSERT_TRUE(staged);
  std::ofstream(staged->path() / "file") << "1";
  EXPECT_FALSE(fs::exists(folder_ / "deep" / "model"));
  ASSERT_TRUE(staged->commit());
  EXPECT_EQ(read(folder_ / "deep" / "model" / "file"), "1");
}

TEST_F(FileSystem, AStagedFolderReplacesAnEarlierOne) {
  fs::create_directories(folder_ / "model");
  write("model/old", "1");
  auto staged = StagedFolder::create(folder_ / "model/");
  ASSERT_TRUE(staged);
  std::ofstream(staged->path() / "new") << "2";
  ASSERT_TRUE(staged->commit());
  EXPECT_THAT(names(), ElementsAre("model"));
  EXPECT_FALSE(fs::exists(folder_ / "model" / "old"));
  EXPECT_EQ(read(folder_ / "model" / "new"), "2");
}

TEST_F(FileSystem, AStagedFolderThatIsNotCommittedGoesAway) {
  {
    auto staged = StagedFolder::create(folder_ / "model");
    ASSERT_TRUE(staged);
    std::ofstream(staged->path() / "file") << "1";
    const StagedFolder moved = std::move(*staged);
    EXPECT_TRUE(fs::exists(moved.path()));
  }
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(FileSystem, WhatACrashLeftIsRemovedAndWhatIsInUseStays) {
  fs::create_directories(folder_ / ".model.staging-1-1");
  write(".model.staging-1-1/half", "1");
  fs::create_directories(folder_ / ".other.staging-1-1");
  auto running = StagedFolder::create(folder_ / "model");
  auto another = StagedFolder::create(folder_ / "model");
  ASSERT_TRUE(running && another);
  EXPECT_TRUE(fs::exists(running->path()));
  EXPECT_FALSE(fs::exists(folder_ / ".model.staging-1-1"));
  EXPECT_TRUE(fs::exists(folder_ / ".other.staging-1-1"));
}

TEST_F(FileSystem, FreeSpaceIsKnownForAPathThatIsNotThereYet) {
  const auto free_bytes = free_disk_bytes(folder_ / "a" / "b");
  ASSERT_TRUE(free_bytes);
  EXPECT_GT(*free_bytes, 0U);
  EXPECT_TRUE(free_disk_bytes("relative/and/missing").has_value());
}

TEST_F(FileSystem, TellsWhetherPathsShareADisk) {
  EXPECT_TRUE(are_on_one_disk(folder_, folder_ / "not" / "there" / "yet").value());
  // The kernel's own files lie on no disk that could be written to.
  EXPECT_FALSE(are_on_one_disk(folder_, "/proc").value());
}

}  // namespace
}  // namespace onnxlocal
