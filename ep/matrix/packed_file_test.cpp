#include "matrix/packed_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <thread>

#include "matrix/packed_layout.h"

namespace onnxlocal::ep {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::size_t kHeaderBytes = 64;

/// A matrix's bytes follow from its index.
void pack_numbers(void* context, std::size_t index, std::span<std::byte> memory) {
  const auto seed = context == nullptr ? std::size_t{0} : *static_cast<std::size_t*>(context);
  for (std::size_t i = 0; i < memory.size(); ++i) {
    memory[i] = static_cast<std::byte>(i * 7 + index + seed);
  }
}

class PackedFileTest : public testing::Test {
 protected:
  PackedFileTest() {
    std::string name = (fs::temp_directory_path() / "packed_file_XXXXXX").string();
    folder_ = mkdtemp(name.data());
    path_ = folder_ / "sub" / "weights.packed";
  }
  ~PackedFileTest() override { fs::remove_all(folder_); }

  static std::vector<PackedEntry> make_entries() {
    std::vector<PackedEntry> entries(3);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      entries[i].name = "layer." + std::to_string(i);
      entries[i].origin = "model.data:" + std::to_string(4096 * i);
      entries[i].format.rows = static_cast<std::uint32_t>(40 + i);
      entries[i].format.columns = 96;
    }
    return entries;
  }
  std::unique_ptr<PackedFile> open_file() { return open_packed_file(path_, entries_, problem_); }
  std::unique_ptr<PackedFile> write_file() {
    return write_packed_file(path_, entries_, pack_numbers, nullptr, problem_);
  }
  std::string read_bytes() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  void write_bytes(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  std::size_t files_in_folder() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(path_.parent_path()), fs::directory_iterator()));
  }
  void expect_numbers(const PackedFile& file, std::size_t seed = 0) const {
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const std::span<const std::byte> found = file.matrix(i);
      ASSERT_EQ(found.size(), entries_[i].format.packed_bytes());
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(found.data()) % 64, 0U);
      std::vector<std::byte> expected(found.size());
      pack_numbers(&seed, i, expected);
      EXPECT_TRUE(std::ranges::equal(found, expected));
    }
  }

  fs::path folder_;
  fs::path path_;
  std::vector<PackedEntry> entries_ = make_entries();
  std::string problem_ = "nothing yet";
};

TEST_F(PackedFileTest, NoFileIsNoProblem) {
  EXPECT_EQ(open_file(), nullptr);
  EXPECT_THAT(problem_, IsEmpty());
}

TEST_F(PackedFileTest, WhatWasWrittenIsRead) {
  const auto written = write_file();
  ASSERT_NE(written, nullptr) << problem_;
  expect_numbers(*written);
  const auto opened = open_file();
  ASSERT_NE(opened, nullptr) << problem_;
  expect_numbers(*opened);
  EXPECT_EQ(files_in_folder(), 1U);
}

TEST_F(PackedFileTest, DamageInAnyByteOfHeaderAndTableIsRefused) {
  ASSERT_NE(write_file(), nullptr);
  const std::string good = read_bytes();
  const std::size_t head = layout_packed_file(entries_).head.size();
  ASSERT_GT(head, kHeaderBytes);
  for (std::size_t i = 0; i < head; ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    write_bytes(bad);
    EXPECT_EQ(open_file(), nullptr) << "byte " << i;
    EXPECT_THAT(problem_, HasSubstr("weights.packed")) << "byte " << i;
  }
  write_bytes(good);
  EXPECT_NE(open_file(), nullptr);
}

TEST_F(PackedFileTest, AFileThatIsCutOrTooLongIsRefused) {
  ASSERT_NE(write_file(), nullptr);
  const std::string good = read_bytes();
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{64},
                                 good.size() / 2, good.size() - 1}) {
    write_bytes(good.substr(0, size));
    EXPECT_EQ(open_file(), nullptr) << size;
    EXPECT_THAT(problem_, HasSubstr("size"));
  }
  write_bytes(good + "x");
  EXPECT_EQ(open_file(), nullptr);
}

TEST_F(PackedFileTest, OtherEntriesAreRefused) {
  ASSERT_NE(write_file(), nullptr);
  const auto opens_with = [&](auto change) {
    entries_ = make_entries();
    change(entries_);
    return open_file() != nullptr;
  };
  EXPECT_TRUE(opens_with([](auto&) {}));
  EXPECT_FALSE(opens_with([](auto& entries) { entries.pop_back(); }));
  EXPECT_FALSE(opens_with([](auto& entries) { entries[1].name = "layer.7"; }));
  EXPECT_FALSE(opens_with([](auto& entries) { entries[2].origin.back() = '5'; }));
  EXPECT_FALSE(opens_with([](auto& entries) { std::swap(entries[0], entries[1]); }));
  EXPECT_FALSE(opens_with([](auto& entries) { entries[0].format.rows = 41; }));
  EXPECT_FALSE(opens_with([](auto& entries) { entries[0].format.zeros = ZeroPoints::kInteger; }));
}

TEST_F(PackedFileTest, AFileOfAnotherBootIsUsedWhenItIsSealed) {
  ASSERT_NE(write_file(), nullptr);
  std::string bytes = read_bytes();
  PackedSeal seal{};
  seal.boot_id[3] = 9;
  std::memcpy(bytes.data() + kSealOffset, &seal, sizeof seal);
  write_bytes(bytes);
  EXPECT_EQ(open_file(), nullptr);
  EXPECT_THAT(problem_, HasSubstr("went down"));
  seal = {.boot_id = {}, .state = kSealed};
  std::memcpy(bytes.data() + kSealOffset, &seal, sizeof seal);
  write_bytes(bytes);
  const auto opened = open_file();
  ASSERT_NE(opened, nullptr) << problem_;
  expect_numbers(*opened);
}

TEST_F(PackedFileTest, ASettledFileIsSealedWhenItIsOpened) {
  ASSERT_NE(write_file(), nullptr);
  const std::string fresh = read_bytes();
  ASSERT_NE(open_file(), nullptr);
  EXPECT_EQ(read_bytes(), fresh);
  fs::last_write_time(path_, fs::file_time_type::clock::now() - std::chrono::minutes(5));
  ASSERT_NE(open_file(), nullptr);
  const std::vector<std::byte> sealed = layout_packed_file(entries_).head;
  EXPECT_EQ(std::memcmp(read_bytes().data(), sealed.data(), sealed.size()), 0);
  EXPECT_NE(open_file(), nullptr);
}

TEST_F(PackedFileTest, WritersAtTheSameTimeLeaveOneWholeFile) {
  {
    std::vector<std::jthread> writers;
    for (int i = 0; i < 8; ++i) {
      writers.emplace_back([&] {
        std::string problem;
        for (int round = 0; round < 10; ++round) {
          EXPECT_NE(write_packed_file(path_, entries_, pack_numbers, nullptr, problem), nullptr);
          const auto opened = open_packed_file(path_, entries_, problem);
          ASSERT_NE(opened, nullptr) << problem;
          expect_numbers(*opened);
        }
      });
    }
  }
  EXPECT_EQ(files_in_folder(), 1U);
}

TEST_F(PackedFileTest, AMappedFileOutlivesItsReplacement) {
  const auto first = write_file();
  std::size_t seed = 5;
  const auto second = write_packed_file(path_, entries_, pack_numbers, &seed, problem_);
  fs::remove(path_);
  expect_numbers(*first);
  expect_numbers(*second, 5);
}

TEST_F(PackedFileTest, WhatADeadWriterLeftIsRemoved) {
  fs::create_directories(path_.parent_path());
  const fs::path dead = path_.string() + ".tmp.abcdef";
  std::ofstream(dead) << "half";
  fs::last_write_time(dead, fs::file_time_type::clock::now() - std::chrono::hours(1));
  const fs::path other = path_.parent_path() / "other.tmp.abcdef";
  std::ofstream(other) << "not ours";
  ASSERT_NE(write_file(), nullptr);
  EXPECT_FALSE(fs::exists(dead));
  EXPECT_TRUE(fs::exists(other));
}

/// Runs `body` in a child process; true where it returned true and no signal ended it.
template <class Body>
bool holds_in_child(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_F(PackedFileTest, NoRoomIsAnErrorAndNotASignal) {
  EXPECT_TRUE(holds_in_child([&] {
    const rlimit limit{.rlim_cur = 4096, .rlim_max = 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    return write_file() == nullptr && problem_.find("too large") != std::string::npos &&
           problem_.find("; 1 MB are needed") != std::string::npos;
  }));
  EXPECT_EQ(files_in_folder(), 0U);
}

TEST_F(PackedFileTest, AFolderThatCannotBeWrittenIsAnError) {
  std::ofstream(folder_ / "sub") << "a file where the folder should be";
  EXPECT_EQ(write_file(), nullptr);
  EXPECT_THAT(problem_, HasSubstr("cannot write"));
  EXPECT_EQ(open_file(), nullptr);
}

TEST_F(PackedFileTest, ProcessesShareThePages) {
  const auto here = write_file();
  ASSERT_NE(here, nullptr);
  EXPECT_TRUE(holds_in_child([&] {
    const auto there = open_file();
    if (there == nullptr) return false;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      if (!std::ranges::equal(there->matrix(i), here->matrix(i))) return false;
    }
    return true;
  }));
}

TEST_F(PackedFileTest, MemoryHoldsTheSame) {
  std::size_t seed = 3;
  const auto packed = pack_in_memory(entries_, pack_numbers, &seed);
  ASSERT_NE(packed, nullptr);
  expect_numbers(*packed, 3);
}

TEST_F(PackedFileTest, NoMatricesAreAFileToo) {
  entries_.clear();
  ASSERT_NE(write_file(), nullptr) << problem_;
  EXPECT_NE(open_file(), nullptr) << problem_;
}

}  // namespace
}  // namespace onnxlocal::ep
