#include "runtime/slot_rows.h"

#include <gmock/gmock.h>

namespace onnxlocal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

RowPlan plan(std::vector<std::uint32_t> lengths, std::vector<std::uint32_t> wanted) {
  return plan_rows(lengths, wanted);
}

TEST(SlotRows, LeavesAdjacentRowsWhereTheyAre) {
  const RowPlan found = plan({9, 9, 9, 9}, {2, 1});
  EXPECT_EQ(found.first, 1U);
  EXPECT_THAT(found.swaps, IsEmpty());
}

TEST(SlotRows, FillsAHoleWithTheLastRow) {
  // Row 1 is empty: its neighbour 0 or the far 2 moves, whichever is shorter.
  const RowPlan found = plan({100, 0, 7}, {0, 2});
  EXPECT_EQ(found.first, 0U);
  EXPECT_THAT(found.swaps, ElementsAre(RowPlan::Swap{2, 1}));
}

TEST(SlotRows, TakesTheWindowThatMovesLeast) {
  // The long row 3 stays: 0 moves next to it.
  const RowPlan found = plan({5, 0, 0, 500}, {0, 3});
  EXPECT_EQ(found.first, 2U);
  EXPECT_THAT(found.swaps, ElementsAre(RowPlan::Swap{0, 2}));
}

TEST(SlotRows, TradesPlacesWithARowThatHoldsSomething) {
  const RowPlan found = plan({10, 20, 10}, {0, 2});
  EXPECT_EQ(found.swaps.size(), 1U);
  EXPECT_EQ(found.swaps.front().inside, 1U);
}

TEST(SlotRows, PlansEveryChoiceOfFiveRows) {
  const std::vector<std::uint32_t> lengths{3, 0, 50, 8, 1};
  for (unsigned chosen = 1; chosen < 32; ++chosen) {
    std::vector<std::uint32_t> wanted;
    for (std::uint32_t row = 0; row < 5; ++row) {
      if ((chosen >> row & 1U) != 0) wanted.push_back(row);
    }
    const RowPlan found = plan_rows(lengths, wanted);
    std::vector<bool> holds(5, false);
    for (const std::uint32_t row : wanted) holds[row] = true;
    for (const auto& swap : found.swaps) {
      EXPECT_TRUE(holds[swap.outside] && !holds[swap.inside]);
      holds[swap.outside] = false;
      holds[swap.inside] = true;
    }
    for (std::size_t row = 0; row < 5; ++row) {
      EXPECT_EQ(holds[row], row >= found.first && row < found.first + wanted.size()) << chosen;
    }
  }
}

TEST(SlotRows, FindsTheLowestEmptyRow) {
  EXPECT_EQ(lowest_empty_row(std::vector<std::uint32_t>{4, 0, 0}), 1U);
  EXPECT_EQ(lowest_empty_row(std::vector<std::uint32_t>{4, 1}), std::nullopt);
}

}  // namespace
}  // namespace onnxlocal
