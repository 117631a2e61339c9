#include "server/handlers/openai_response_store.h"

#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

class Responses : public testing::Test {
 protected:
  bool has(std::string_view id, std::string_view scope = "s") {
    return store.find(scope, id).has_value();
  }

  ResponseStore::Clock::time_point now = ResponseStore::Clock::now();
  ResponseStore store{{.count_max = 2, .bytes_max = 10, .ttl = std::chrono::seconds(60)},
                      [this] { return now; }};
};

TEST_F(Responses, AreKeptForTheirOwnClientAlone) {
  store.put("s", "a", {.response = "r", .conversation = "c"});
  EXPECT_TRUE(has("a"));
  EXPECT_FALSE(has("a", "other"));
  EXPECT_EQ(store.find("s", "a")->conversation, "c");
}

TEST_F(Responses, AreForgottenInTime) {
  store.put("s", "a", {.response = "r", .conversation = "c"});
  now += std::chrono::seconds(61);
  EXPECT_FALSE(has("a"));
}

TEST_F(Responses, ThatWereUsedLeastRecentlyGoFirst) {
  store.put("s", "a", {});
  store.put("s", "b", {});
  EXPECT_TRUE(has("a"));
  store.put("s", "c", {});
  EXPECT_TRUE(has("a"));
  EXPECT_FALSE(has("b"));
}

TEST_F(Responses, AreBoundedInBytes) {
  store.put("s", "a", {.response = "123456", .conversation = ""});
  store.put("s", "b", {.response = "123456", .conversation = ""});
  EXPECT_FALSE(has("a"));
  EXPECT_TRUE(has("b"));
  store.put("s", "c", {.response = "12345678901", .conversation = ""});
  EXPECT_FALSE(has("c"));
}

TEST_F(Responses, AreErasedOnce) {
  store.put("s", "a", {});
  EXPECT_TRUE(store.erase("s", "a"));
  EXPECT_FALSE(store.erase("s", "a"));
}

}  // namespace
}  // namespace onnxlocal
