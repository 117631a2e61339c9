#include "engine/slot_pool.h"

#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

TEST(SlotPool, GivesTheLowestFreeSlot) {
  SlotPool pool(3, 100);
  EXPECT_EQ(pool.take(1), SlotId{0});
  EXPECT_EQ(pool.take(1), SlotId{1});
  pool.give_back(SlotId{0});
  EXPECT_EQ(pool.take(1), SlotId{0});
  EXPECT_EQ(pool.take(1), SlotId{2});
  EXPECT_EQ(pool.take(1), std::nullopt);
  EXPECT_EQ(pool.taken(), 3U);
}

TEST(SlotPool, KeepsTheByteBudget) {
  SlotPool pool(3, 100);
  ASSERT_TRUE(pool.take(60));
  EXPECT_EQ(pool.take(41), std::nullopt);
  ASSERT_TRUE(pool.take(40));
  EXPECT_EQ(pool.reserved_bytes(), 100U);
  pool.give_back(SlotId{0});
  EXPECT_EQ(pool.reserved_bytes(), 40U);
  EXPECT_FALSE(pool.is_taken(SlotId{0}));
  EXPECT_TRUE(pool.take(60));
}

}  // namespace
}  // namespace onnxlocal
