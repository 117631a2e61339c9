// Prefixes on a real disk, in blocks of two tokens and 64 bytes whose bytes say what they belong
// to.
#include "engine/disk_cache.h"

#include <filesystem>
#include <fstream>
#include <random>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faulty_files.h"

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;
using Tokens = std::vector<TokenId>;

constexpr std::size_t kBlockBytes = 64;
constexpr std::uint64_t kPlenty = 1 << 20;
const DiskKey kScope = disk_key("key");

Deadline soon() { return Deadline::after(std::chrono::seconds(20)); }

/// The bytes of the block that ends the prefix.
CacheBlock block_of(std::span<const TokenId> prefix) {
  std::shared_ptr<std::byte[]> bytes;
  bytes.reset(new std::byte[kBlockBytes]);
  for (std::size_t i = 0; i < kBlockBytes; ++i) {
    bytes[i] = static_cast<std::byte>(prefix[i % prefix.size()] + static_cast<TokenId>(i));
  }
  return bytes;
}

class DiskCacheTest : public ::testing::Test {
 protected:
  DiskCacheTest() { fs::remove_all(folder); }
  ~DiskCacheTest() override {
    cache.reset();
    fs::remove_all(folder);
  }

  void open(std::uint64_t bytes_max = kPlenty, const std::string& model_hash = "hash",
            const std::string& layout_id = "layout") {
    cache.reset();
    auto opened = try_open(bytes_max, model_hash, layout_id);
    ASSERT_TRUE(opened) << opened.error().message;
    cache = *std::move(opened);
  }
  Result<std::unique_ptr<DiskCache>> try_open(std::uint64_t bytes_max = kPlenty,
                                              const std::string& model_hash = "hash",
                                              const std::string& layout_id = "layout") {
    return DiskCache::open(
        {.model = "model",
         .model_hash = model_hash,
         .layout_id = layout_id,
         .block_tokens = 2,
         .block_bytes = kBlockBytes},
        {.pool = {.folder = folder, .bytes_max = bytes_max, .open_file = disk.opener()},
         .queue_bytes_max = queue_bytes_max,
         .now_seconds = [this] { return now; }},
        [this] {
          const std::scoped_lock lock(mutex);
          has_news = true;
          news.notify_all();
        });
  }
  /// As a process that ends well does.
  void close_well() {
    cache->close(soon());
    cache.reset();
  }

  void queue(const Tokens& tokens, const DiskKey& scope = kScope) {
    cache->store(scope, tokens, [&](std::uint32_t first) {
      std::vector<CacheBlock> blocks;
      for (std::size_t end = 2 * (first + std::size_t{1}); end <= tokens.size(); end += 2) {
        blocks.push_back(block_of(std::span(tokens).first(end)));
      }
      return blocks;
    });
  }
  void store(const Tokens& tokens, const DiskKey& scope = kScope) {
    queue(tokens, scope);
    ASSERT_TRUE(cache->wait_until_idle(soon()));
    expect_sound();
  }
  void expect_sound() {
    const auto sound = cache->check_invariants();
    EXPECT_TRUE(sound) << sound.error().message;
  }
  std::uint32_t stored(const Tokens& tokens, const DiskKey& scope = kScope) {
    return cache->stored_blocks(scope, tokens);
  }
  /// Reads what there is from a block on; each must have the right bytes.
  std::uint32_t restored(const Tokens& tokens, std::uint32_t first = 0,
                         bool* was_damaged = nullptr) {
    if (!cache->begin_restore(kScope, tokens, first)) return 0;
    std::uint32_t count = 0;
    while (true) {
      const auto part = cache->take_restored();
      for (const CacheBlock& block : part.blocks) {
        ++count;
        const auto expected = block_of(std::span(tokens).first(2 * (first + count)));
        EXPECT_TRUE(std::equal(block.get(), block.get() + kBlockBytes, expected.get())) << count;
      }
      if (was_damaged) *was_damaged = part.was_damaged;
      if (part.is_over) return count;
      std::unique_lock lock(mutex);
      news.wait(lock, [this] { return std::exchange(has_news, false); });
    }
  }
  std::vector<fs::path> segments() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.path().extension() == ".seg") found.push_back(entry.path());
    }
    std::ranges::sort(found);
    return found;
  }
  static void flip_last_byte(const fs::path& path, std::uint64_t at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(byte ^ 1));
  }

  FaultyFiles disk;
  fs::path folder = fs::path(testing::TempDir()) / "disk_cache_test";
  std::size_t queue_bytes_max = 1 << 20;
  std::uint64_t now = 1000;
  std::mutex mutex;
  std::condition_variable news;
  bool has_news = false;
  std::unique_ptr<DiskCache> cache;
};

const Tokens kPrompt = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

TEST_F(DiskCacheTest, GivesBackWhatItWasGiven) {
  open();
  store(kPrompt);
  EXPECT_EQ(stored(kPrompt), 5U);
  EXPECT_EQ(restored(kPrompt), 5U);
  EXPECT_EQ(restored(kPrompt, 3), 2U);
}

TEST_F(DiskCacheTest, SurvivesARestart) {
  open();
  store(kPrompt);
  close_well();
  open();
  EXPECT_EQ(stored(kPrompt), 5U);
  EXPECT_EQ(restored(kPrompt), 5U);
  EXPECT_EQ(cache->counts().read_blocks, 5U);
}

TEST_F(DiskCacheTest, WritesWhatWaitsBeforeItCloses) {
  open();
  for (TokenId i = 0; i < 50; ++i) queue({i, i, i, i, i, i});
  close_well();
  open();
  for (TokenId i = 0; i < 50; ++i) EXPECT_EQ(stored({i, i, i, i, i, i}), 3U);
}

TEST_F(DiskCacheTest, SharesNothingAcrossScopesModelsLayoutsOrTokens) {
  open();
  store(kPrompt);
  EXPECT_EQ(stored(kPrompt, disk_key("other")), 0U);
  EXPECT_EQ(stored({1, 2, 3, 5}), 1U);
  open(kPlenty, "other hash");
  EXPECT_EQ(stored(kPrompt), 0U);
  open(kPlenty, "hash", "other layout");
  EXPECT_EQ(stored(kPrompt), 0U);
}

TEST_F(DiskCacheTest, WritesASharedPrefixOnce) {
  open();
  store(kPrompt);
  Tokens other = kPrompt;
  other.back() = 99;
  store(other);
  EXPECT_EQ(cache->counts().written_blocks, 6U);
  EXPECT_EQ(restored(other), 5U);
}

TEST_F(DiskCacheTest, IsItsOwnersAlone) {
  open();
  store(kPrompt);
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const auto others = fs::perms::group_all | fs::perms::others_all;
    EXPECT_EQ(entry.status().permissions() & others, fs::perms::none) << entry.path();
  }
}

TEST_F(DiskCacheTest, KeepsOneOwnerAtATime) {
  open();
  const auto second = try_open();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  cache.reset();
  EXPECT_TRUE(try_open());
}

TEST_F(DiskCacheTest, StaysWithinItsBytesAndForgetsTheOldest) {
  const std::uint64_t bytes_max = 16 * 6000;
  open(bytes_max);
  for (TokenId i = 0; i < 3000; ++i) {
    store({i, i});
    if (i % 10 == 0) {
      ASSERT_EQ(stored({0, 0}), 1U) << i;
    }
  }
  EXPECT_GT(cache->counts().evictions, 0U);
  EXPECT_LE(cache->counts().size_bytes, bytes_max);
  EXPECT_EQ(stored({1, 1}), 0U);
  EXPECT_EQ(stored({2999, 2999}), 1U);
  std::uint64_t on_disk = 0;
  for (const fs::path& segment : segments()) on_disk += fs::file_size(segment);
  EXPECT_LE(on_disk, bytes_max);
}

TEST_F(DiskCacheTest, RemembersAcrossARestartWhatWasUsedLast) {
  const std::uint64_t bytes_max = 16 * 6000;
  open(bytes_max);
  for (TokenId i = 0; i < 400; ++i) store({i, i});
  now = 2000;
  ASSERT_EQ(stored({5, 5}), 1U);
  close_well();
  open(bytes_max);
  for (TokenId i = 0; i < 500; ++i) store({5000 + i, i});
  EXPECT_EQ(stored({5, 5}), 1U);
}

TEST_F(DiskCacheTest, KeepsWhatIsPinnedFromWhatComesLater) {
  const std::uint64_t bytes_max = 16 * 6000;
  open(bytes_max);
  store(kPrompt);
  cache->pin(kScope, std::span(kPrompt).first(6), std::chrono::seconds(300));
  EXPECT_EQ(cache->counts().pinned_blocks, 3U);
  for (TokenId i = 100; i < 3000; ++i) store({i, i});
  EXPECT_GT(cache->counts().evictions, 0U);
  EXPECT_EQ(restored(kPrompt), 3U);
}

TEST_F(DiskCacheTest, ForgetsWhatWasPinnedOnceItsTimeIsOver) {
  const std::uint64_t bytes_max = 16 * 6000;
  open(bytes_max);
  store(kPrompt);
  cache->pin(kScope, kPrompt, std::chrono::seconds(300));
  now += 301;
  for (TokenId i = 100; i < 3000; ++i) store({i, i});
  EXPECT_EQ(stored(kPrompt), 0U);
  EXPECT_EQ(cache->counts().pinned_blocks, 0U);
}

TEST_F(DiskCacheTest, KeepsPinsAcrossARestart) {
  const std::uint64_t bytes_max = 16 * 6000;
  open(bytes_max);
  store(kPrompt);
  cache->pin(kScope, kPrompt, std::chrono::seconds(300));
  close_well();
  open(bytes_max);
  EXPECT_EQ(cache->counts().pinned_blocks, 5U);
  for (TokenId i = 100; i < 3000; ++i) store({i, i});
  EXPECT_EQ(restored(kPrompt), 5U);
}

TEST_F(DiskCacheTest, WritesPinsWithoutWaitingForItsEnd) {
  open();
  store(kPrompt);
  cache->pin(kScope, kPrompt, std::chrono::seconds(300));
  ASSERT_TRUE(cache->wait_until_idle(soon()));
  disk.is_full = true;  // Nothing is written at the end.
  cache.reset();
  disk.is_full = false;
  open();
  EXPECT_EQ(cache->counts().pinned_blocks, 5U);
}

TEST_F(DiskCacheTest, PinsNoMoreThanItsShare) {
  const std::uint64_t bytes_max = 16 * 6000;
  open(bytes_max);
  for (TokenId i = 0; i < 2000; ++i) {
    store({i, i});
    cache->pin(kScope, Tokens{i, i}, std::chrono::seconds(300));
  }
  expect_sound();
  const std::uint64_t pinned_bytes = cache->counts().pinned_blocks * kBlockBytes;
  EXPECT_LE(static_cast<double>(pinned_bytes),
            static_cast<double>(bytes_max) * DiskCache::kPinnedShare);
  EXPECT_GT(pinned_bytes, 0U);
  store({5000, 5000});
  EXPECT_EQ(stored({5000, 5000}), 1U);
}

TEST_F(DiskCacheTest, ShrinksToASmallerBudget) {
  open(16 * 6000);
  for (TokenId i = 0; i < 1000; ++i) store({i, i});
  close_well();
  open(16 * 2000);
  EXPECT_LE(cache->counts().size_bytes, 16 * 2000U);
  EXPECT_GT(cache->counts().blocks, 0U);
  expect_sound();
}

TEST_F(DiskCacheTest, TakesTheRoomOfPoolsThatNobodyUses) {
  now = ~std::uint64_t{0};  // Later than any file.
  open(16 * 6000, "old");
  for (TokenId i = 0; i < 1000; ++i) store({i, i});
  open(16 * 6000, "new");
  for (TokenId i = 0; i < 500; ++i) store({i, i});
  EXPECT_EQ(stored({499, 499}), 1U);
  EXPECT_EQ(list_disk_pools(folder).size(), 1U);
}

TEST_F(DiskCacheTest, ComputesADamagedBlockAnew) {
  open();
  store(kPrompt);
  close_well();
  ASSERT_EQ(segments().size(), 1U);
  std::ifstream file(segments()[0], std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const auto third = block_of(std::span(kPrompt).first(6));
  const auto at = bytes.find(std::string(reinterpret_cast<const char*>(third.get()), kBlockBytes));
  ASSERT_NE(at, std::string::npos);
  flip_last_byte(segments()[0], at + 17);
  open();
  bool was_damaged = false;
  EXPECT_EQ(restored(kPrompt, 0, &was_damaged), 2U);
  EXPECT_TRUE(was_damaged);
  EXPECT_EQ(stored(kPrompt), 2U);
  store(kPrompt);
  EXPECT_EQ(restored(kPrompt), 5U);
}

TEST_F(DiskCacheTest, AnyFlippedByteCostsARecomputationAndNothingElse) {
  open(16 * 1000);
  store(kPrompt);
  close_well();
  const std::uint64_t size = fs::file_size(segments()[0]);
  const fs::path segment = segments()[0];
  const fs::path whole = folder / "whole";
  fs::copy_file(segment, whole);
  for (std::uint64_t at = 0; at < size; at += at < 600 ? 7 : 97) {
    fs::copy_file(whole, segment, fs::copy_options::overwrite_existing);
    flip_last_byte(segment, at);
    open(16 * 1000);
    EXPECT_LE(restored(kPrompt), 5U);
    store(kPrompt);
    EXPECT_EQ(restored(kPrompt), 5U) << at;
  }
}

TEST_F(DiskCacheTest, ATruncatedFileCostsARecomputationAndNothingElse) {
  open(16 * 1000);
  store(kPrompt);
  close_well();
  const fs::path segment = segments()[0];
  for (std::uint64_t size = fs::file_size(segment); size > 0;
       size -= std::min<std::uint64_t>(size, 61)) {
    fs::resize_file(segment, size);
    open(16 * 1000);
    EXPECT_LE(restored(kPrompt), 5U);
    cache.reset();
    if (!fs::exists(segment)) break;
  }
  open(16 * 1000);
  store(kPrompt);
  EXPECT_EQ(restored(kPrompt), 5U);
}

TEST_F(DiskCacheTest, AMissingFileCostsARecomputationAndNothingElse) {
  open(16 * 1000);  // A few blocks to a segment.
  Tokens prompt;
  for (TokenId i = 0; i < 40; ++i) prompt.push_back(i);
  store(prompt);
  close_well();
  ASSERT_GT(segments().size(), 1U);
  fs::remove(segments()[0]);
  open(16 * 1000);
  EXPECT_EQ(restored(prompt), 0U);
  store(prompt);
  EXPECT_EQ(restored(prompt), 20U);
}

TEST_F(DiskCacheTest, AFullDiskKeepsWhatIsThere) {
  open(16 * 1000);
  store(kPrompt);
  disk.is_full = true;
  Tokens other;
  for (TokenId i = 100; i < 140; ++i) other.push_back(i);
  store(other);
  EXPECT_EQ(stored(other), 0U);
  EXPECT_GT(cache->counts().failed_blocks, 0U);
  EXPECT_EQ(restored(kPrompt), 5U);
  disk.is_full = false;
  store(other);
  EXPECT_GT(stored(other), 0U);
}

TEST_F(DiskCacheTest, ADiskThatFillsUpAtAnyWriteLeavesAReadableCache) {
  for (int n = 0; n < 25; ++n) {
    fs::remove_all(folder);
    disk.is_full = false;
    disk.writes_until_full = n;
    open(16 * 1000);
    store(kPrompt);
    disk.writes_until_full = -1;
    disk.is_full = false;
    open(16 * 1000);
    restored(kPrompt);
    store(kPrompt);
    EXPECT_EQ(restored(kPrompt), 5U) << n;
  }
}

TEST_F(DiskCacheTest, AReadErrorIsADamagedBlock) {
  open();
  store(kPrompt);
  disk.fails_reads = true;
  bool was_damaged = false;
  EXPECT_EQ(restored(kPrompt, 0, &was_damaged), 0U);
  EXPECT_TRUE(was_damaged);
  EXPECT_EQ(stored(kPrompt), 0U);
}

TEST_F(DiskCacheTest, WaitsForNobodyWhoseDiskHangs) {
  open();
  store(kPrompt);
  disk.hang_reads();
  ASSERT_TRUE(cache->begin_restore(kScope, kPrompt, 0));
  queue({50, 51});
  EXPECT_TRUE(cache->take_restored().blocks.empty());
  cache->end_restore();
  EXPECT_FALSE(cache->take_restored().blocks.size());
  disk.go_on();
  ASSERT_TRUE(cache->wait_until_idle(soon()));
  EXPECT_EQ(restored(kPrompt), 5U);
}

TEST_F(DiskCacheTest, WritesNoMoreThanTheQueueHolds) {
  queue_bytes_max = 3 * kBlockBytes;
  open();
  store(kPrompt);
  EXPECT_EQ(stored(kPrompt), 3U);
  EXPECT_EQ(cache->counts().refused_blocks, 2U);
  store(kPrompt);
  EXPECT_EQ(stored(kPrompt), 5U);
}

TEST_F(DiskCacheTest, ReadsMoreThanTheQueueHoldsInParts) {
  open();
  store(kPrompt);
  queue_bytes_max = kBlockBytes;
  open();
  EXPECT_EQ(restored(kPrompt), 5U);
}

TEST_F(DiskCacheTest, ListsAndRemovesWhatIsThere) {
  open();
  store(kPrompt);
  store({7, 7}, disk_key("other"));
  const auto pools = list_disk_pools(folder);
  ASSERT_EQ(pools.size(), 1U);
  EXPECT_EQ(pools[0].key.model, "model");
  EXPECT_EQ(pools[0].key.layout_id, "layout");
  ASSERT_EQ(pools[0].scopes.size(), 2U);
  EXPECT_EQ(pools[0].scopes[0].blocks + pools[0].scopes[1].blocks, 6U);
  EXPECT_EQ(pools[0].scopes[0].last_use, 1000U);
  EXPECT_EQ(remove_disk_pools(folder, "").in_use, 1U);
  cache.reset();
  EXPECT_EQ(remove_disk_pools(folder, "unlike").removed, 0U);
  EXPECT_EQ(remove_disk_pools(folder, "model").removed, 1U);
  EXPECT_TRUE(list_disk_pools(folder).empty());
}

TEST_F(DiskCacheTest, SurvivesAKillAtAnyMoment) {
  std::mt19937 random(21);
  for (int round = 0; round < 30 && !HasFailure(); ++round) {
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      auto opened = try_open(16 * 1000);
      if (!opened) ::_exit(1);
      cache = *std::move(opened);
      for (TokenId i = 0; i < 100000; ++i) {
        const Tokens tokens = {i % 300, i % 7, i % 5, i % 3, i % 11, 1, 2, 3};
        queue(tokens);
        if (i % 5 == 0) cache->pin(kScope, tokens, std::chrono::seconds(i));
        if (i == 20 && ::write(ready[1], "x", 1) != 1) ::_exit(1);
      }
      ::_exit(0);
    }
    char byte = 0;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    for (std::uint32_t i = random() % 2000; i > 0; --i)
      std::atomic_signal_fence(std::memory_order_seq_cst);
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ::close(ready[0]);
    ::close(ready[1]);
    open(16 * 1000);
    expect_sound();
    for (TokenId i = 0; i < 30; ++i) restored({i % 300, i % 7, i % 5, i % 3, i % 11, 1, 2, 3});
    EXPECT_EQ(cache->counts().failed_blocks, 0U);  // Nothing that it names is damaged.
    store(kPrompt);
    EXPECT_EQ(restored(kPrompt), 5U);
    cache.reset();
  }
}

}  // namespace
}  // namespace onnxlocal
