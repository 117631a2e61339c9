#include "engine/segment_file.h"

#include <gtest/gtest.h>

#include "memory_files.h"

namespace onnxlocal {
namespace {

constexpr SegmentShape kShape = {
    .pool = {std::byte{1}, std::byte{2}}, .block_tokens = 2, .block_bytes = 100, .slots = 3};

constexpr std::size_t kTable = 64;  ///< Where it begins.
constexpr std::size_t kEntry = 72;  ///< Its bytes.

SegmentEntry entry_of(std::uint64_t id) {
  return {.id = id,
          .parent = id - 1,
          .scope = {std::byte{7}},
          .last_use = 1234,
          .pinned_until = 5678,
          .checksum = 99,
          .tokens = {static_cast<TokenId>(id), -1}};
}

class SegmentFileTest : public ::testing::Test {
 protected:
  SegmentFileTest() {
    auto segment = SegmentFile::create(files.open("a", BlockFileMode::kCreate).value(), kShape);
    EXPECT_TRUE(segment->write_block(0, entry_of(5), block(1)));
    EXPECT_TRUE(segment->write_block(2, entry_of(6), block(2)));
  }
  static std::vector<std::byte> block(int fill) {
    return std::vector<std::byte>(kShape.block_bytes, static_cast<std::byte>(fill));
  }
  Result<SegmentFile> open() {
    return SegmentFile::open(files.open("a", BlockFileMode::kWrite).value());
  }
  std::vector<std::byte>& bytes() { return files.bytes("a"); }

  MemoryFiles files;
};

TEST_F(SegmentFileTest, SaysWhatIsInItsSlots) {
  const auto segment = open();
  ASSERT_TRUE(segment) << segment.error().message;
  EXPECT_EQ(segment->shape(), kShape);
  const auto entries = segment->read_entries();
  ASSERT_TRUE(entries && entries->size() == 2);
  EXPECT_EQ((*entries)[0], (std::pair{0U, entry_of(5)}));
  EXPECT_EQ((*entries)[1], (std::pair{2U, entry_of(6)}));
  auto read = block(0);
  ASSERT_TRUE(segment->read_block(2, read));
  EXPECT_EQ(read, block(2));
}

TEST_F(SegmentFileTest, IsAsLongAsItWillEverBe) {
  EXPECT_EQ(bytes().size(), SegmentFile::file_bytes(kShape));
}

TEST_F(SegmentFileTest, ForgetsAnEntryThatWasCleared) {
  auto segment = open();
  ASSERT_TRUE(segment->clear_entry(0));
  EXPECT_EQ(segment->read_entries()->size(), 1U);
}

TEST_F(SegmentFileTest, CountsDamagedEntriesAsEmpty) {
  for (std::size_t i = 0; i < kEntry; ++i) {
    bytes()[kTable + i] ^= std::byte{4};
    EXPECT_EQ(open()->read_entries()->size(), 1U) << i;
    bytes()[kTable + i] ^= std::byte{4};
  }
  EXPECT_EQ(open()->read_entries()->size(), 2U);
}

TEST_F(SegmentFileTest, CountsAnEntryInAnotherSlotAsEmpty) {
  std::copy_n(bytes().begin() + kTable, kEntry, bytes().begin() + kTable + kEntry);
  EXPECT_EQ(open()->read_entries()->size(), 2U);
}

TEST_F(SegmentFileTest, RefusesADamagedHeader) {
  for (std::size_t i = 0; i < 64; ++i) {
    bytes()[i] ^= std::byte{4};
    EXPECT_FALSE(open()) << i;
    bytes()[i] ^= std::byte{4};
  }
  EXPECT_TRUE(open());
}

TEST_F(SegmentFileTest, RefusesAnotherVersion) {
  bytes()[8] = std::byte{1};
  const auto segment = open();
  ASSERT_FALSE(segment);
  EXPECT_EQ(segment.error().code, ErrorCode::kModelCorrupt);
}

TEST_F(SegmentFileTest, KnowsWhatATruncatedFileStillHas) {
  const std::vector<std::byte> whole = bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    bytes().assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const auto segment = open();
    const auto entries = segment ? segment->read_entries() : std::unexpected(segment.error());
    if (!entries) continue;
    EXPECT_LE(entries->size(), 1U) << size;  // The last block is cut.
    auto read = block(0);
    for (const auto& [slot, entry] : *entries) EXPECT_TRUE(segment->read_block(slot, read));
  }
}

TEST_F(SegmentFileTest, BoundsWhatAHeaderMaySay) {
  SegmentShape shape = kShape;
  EXPECT_TRUE(SegmentFile::is_sound(shape));
  shape.slots = SegmentFile::kSlotsMax + 1;
  EXPECT_FALSE(SegmentFile::is_sound(shape));
  shape = kShape;
  shape.block_bytes = SegmentFile::kBlockBytesMax + 1;
  EXPECT_FALSE(SegmentFile::is_sound(shape));
  shape = kShape;
  shape.block_tokens = 0;
  EXPECT_FALSE(SegmentFile::is_sound(shape));
}

TEST_F(SegmentFileTest, LeavesAnEmptySlotWhenAWriteFails) {
  for (std::size_t n = 1; n <= 3; ++n) {
    auto segment = open();
    files.fail_write(n);
    EXPECT_FALSE(segment->write_block(0, entry_of(8), block(3))) << n;
    const auto entries = open()->read_entries();
    for (const auto& [slot, entry] : *entries) {
      if (slot != 0) continue;
      auto read = block(0);
      ASSERT_TRUE(segment->read_block(0, read));
      EXPECT_EQ(read, block(1));  // The old one, whole.
      EXPECT_EQ(entry, entry_of(5));
    }
  }
}

}  // namespace
}  // namespace onnxlocal
