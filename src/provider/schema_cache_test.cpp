#include "provider/schema_cache.h"

#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

constexpr std::string_view kDistinct = R"({"type": "array", "uniqueItems": true})";

TEST(SchemaCache, SaysWhatAGrammarCanHold) {
  SchemaCache schemas;
  EXPECT_TRUE(schemas.facts(R"({"type": "object"})")->holds);
  const auto facts = schemas.facts(kDistinct);
  EXPECT_FALSE(facts->holds);
  ASSERT_TRUE(facts->relaxed);
  EXPECT_FALSE(facts->relaxed->contains("uniqueItems"));
}

TEST(SchemaCache, FindsOutOnce) {
  SchemaCache schemas;
  EXPECT_EQ(schemas.facts(kDistinct), schemas.facts(kDistinct));
}

TEST(SchemaCache, ForgetsTheLeastRecentlyUsedFirst) {
  SchemaCache schemas(40);
  const auto first = schemas.facts(kDistinct);
  EXPECT_NE(schemas.facts("true"), nullptr);
  EXPECT_NE(schemas.facts(R"({"a": 1})"), nullptr);
  EXPECT_NE(schemas.facts(kDistinct), first);
}

}  // namespace
}  // namespace onnxlocal
