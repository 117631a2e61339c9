#include "runtime/embedding_pooling.h"

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

using testing::ElementsAre;

constexpr std::array<float, 6> kThreeTokens = {1, 2, 3, 5, 8, -1};

TEST(EmbeddingPooling, TakesTheMeanTheLastOrTheFirst) {
  EXPECT_THAT(pool(kThreeTokens, 2, Pooling::kMean), ElementsAre(4, 2));
  EXPECT_THAT(pool(kThreeTokens, 2, Pooling::kLast), ElementsAre(8, -1));
  EXPECT_THAT(pool(kThreeTokens, 2, Pooling::kCls), ElementsAre(1, 2));
}

TEST(EmbeddingPooling, ScalesToTheLengthOne) {
  std::array<float, 2> vector = {3, -4};
  normalize(vector);
  EXPECT_THAT(vector, ElementsAre(0.6F, -0.8F));
}

TEST(EmbeddingPooling, LeavesZerosAsTheyAre) {
  std::array<float, 2> vector = {0, 0};
  normalize(vector);
  EXPECT_THAT(vector, ElementsAre(0, 0));
}

}  // namespace
}  // namespace onnxlocal
