#include "runtime/page_pool.h"

#include <cstring>

#include <gmock/gmock.h>

#include "base/environment.h"

namespace onnxlocal {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kMiB = std::size_t{1} << 20;

PagePool make_pool(std::size_t page_bytes, std::uint32_t pages) {
  auto pool = PagePool::create(page_bytes, pages);
  EXPECT_TRUE(pool.has_value());
  return *std::move(pool);
}

TEST(PagePool, GivesEachPageToOneOwnerAndThenSaysThatNoneIsLeft) {
  PagePool pool = make_pool(4096, 3);
  std::vector<PagePool::Page> pages;
  for (int i = 0; i < 3; ++i) pages.push_back(pool.take().value());
  EXPECT_THAT(pages, ::testing::UnorderedElementsAre(0, 1, 2));
  const auto fourth = pool.take();
  ASSERT_FALSE(fourth.has_value());
  EXPECT_EQ(fourth.error().code, ErrorCode::kOverloaded);
  EXPECT_THAT(fourth.error().message, HasSubstr("all 3 pages"));
  pool.drop(pages[1]);
  EXPECT_EQ(pool.take().value(), pages[1]);
}

TEST(PagePool, FreesAPageWhenItsLastOwnerDropsIt) {
  PagePool pool = make_pool(4096, 2);
  const auto page = pool.take().value();
  EXPECT_FALSE(pool.is_shared(page));
  pool.share(page);
  EXPECT_TRUE(pool.is_shared(page));
  pool.drop(page);
  EXPECT_EQ(pool.free_pages(), 1U);
  pool.drop(page);
  EXPECT_EQ(pool.free_pages(), 2U);
}

TEST(PagePool, TakesNoRoomBeforeItIsWrittenTo) {
  const auto before = resident_memory_bytes();
  const PagePool pool = make_pool(kMiB, 16384);
  EXPECT_EQ(pool.pages(), 16384U);
  EXPECT_LT(resident_memory_bytes(), before + 8 * kMiB);
}

TEST(PagePool, GivesTheRoomOfFreePagesBack) {
  PagePool pool = make_pool(kMiB, 256);
  std::vector<PagePool::Page> pages;
  for (int i = 0; i < 200; ++i) {
    pages.push_back(pool.take().value());
    std::memset(pool.bytes(pages.back()), 1, kMiB);
  }
  const auto full = resident_memory_bytes();
  for (int i = 0; i < 100; ++i) pool.drop(pages[static_cast<std::size_t>(i)]);
  // All but what is kept warm.
  EXPECT_LT(resident_memory_bytes() + 80 * kMiB, full);
  for (int i = 100; i < 200; ++i) pool.drop(pages[static_cast<std::size_t>(i)]);
  EXPECT_LT(resident_memory_bytes() + 195 * kMiB, full);
}

TEST(PagePool, LeavesTheNeighboursOfAFreedPageAlone) {
  // Pages that are no multiple of the system's.
  PagePool pool = make_pool(3 * kMiB + 1000, 40);
  std::vector<PagePool::Page> pages;
  for (int i = 0; i < 40; ++i) {
    pages.push_back(pool.take().value());
    std::memset(pool.bytes(pages.back()), i + 1, pool.page_bytes());
  }
  for (std::size_t i = 0; i < 40; i += 2) pool.drop(pages[i]);
  for (std::size_t i = 1; i < 40; i += 2) {
    const auto* const bytes = reinterpret_cast<const char*>(pool.bytes(pages[i]));
    EXPECT_EQ(bytes[0], static_cast<char>(i + 1));
    EXPECT_EQ(bytes[pool.page_bytes() - 1], static_cast<char>(i + 1));
  }
}

TEST(PagePool, SaysWhereThereIsNoAddressSpace) {
  const auto pool = PagePool::create(std::size_t{1} << 40, 1U << 30);
  ASSERT_FALSE(pool.has_value());
  EXPECT_EQ(pool.error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace onnxlocal
