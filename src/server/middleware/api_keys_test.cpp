#include "server/middleware/api_keys.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <string>

#include "base/file_system.h"

namespace onnxlocal {
namespace {

using testing::HasSubstr;
using testing::Not;

HttpRequest with_headers(std::vector<HttpHeader> headers) {
  HttpRequest request;
  request.headers = std::move(headers);
  return request;
}

KeyRing ring_of(std::string_view file) {
  auto keys = parse_key_file(file);
  EXPECT_TRUE(keys.has_value()) << keys.error().message;
  return keys ? KeyRing(*std::move(keys)) : KeyRing();
}

TEST(KeyFile, HoldsAKeyOnEachLineAndWhatBelongsToIt) {
  const auto keys = parse_key_file(
      "# who may use this server\n"
      "\n"
      "first-secret\r\n"
      "  second-secret  name=laptop requests-per-minute=60 concurrent-requests=2\n"
      "third-secret tokens-per-minute=3 input-tokens-per-minute=1 output-tokens-per-minute=2");
  ASSERT_TRUE(keys.has_value()) << keys.error().message;
  ASSERT_EQ(keys->size(), 3U);
  EXPECT_EQ((*keys)[0].name, "key 1");
  EXPECT_EQ((*keys)[0].limits, KeyLimits());
  EXPECT_EQ((*keys)[1].name, "laptop");
  EXPECT_EQ((*keys)[1].limits.requests_per_minute, 60U);
  EXPECT_EQ((*keys)[1].limits.concurrent_requests, 2U);
  EXPECT_EQ((*keys)[2].limits.tokens_per_minute, 3U);
  EXPECT_EQ((*keys)[2].limits.input_tokens_per_minute, 1U);
  EXPECT_EQ((*keys)[2].limits.output_tokens_per_minute, 2U);
}

TEST(KeyFile, DoesNotKeepTheKeysText) {
  const auto keys = parse_key_file("first-secret");
  ASSERT_TRUE(keys.has_value());
  EXPECT_EQ(keys->front().digest.size(), 64U);
  EXPECT_THAT(keys->front().digest, Not(HasSubstr("secret")));
}

TEST(KeyFile, SaysWhichLineIsWrongAndNotWhatStandsThere) {
  for (const char* line : {"my-secret other-secret", "my-secret requests-per-minute=none",
                           "my-secret requests-per-minute=0", "my-secret requests-per-minute",
                           "my-secret name=", "my-sécret"}) {
    const auto keys = parse_key_file(std::string("good\n") + line);
    ASSERT_FALSE(keys.has_value()) << line;
    EXPECT_THAT(keys.error().message, HasSubstr("line 2"));
    EXPECT_THAT(keys.error().message, Not(HasSubstr("secret")));
  }
}

TEST(KeyFile, HasAtLeastOneKeyAndNoneTwice) {
  for (const char* text : {"", "# only a remark\n", "same\nother\nsame name=again\n"}) {
    EXPECT_FALSE(parse_key_file(text).has_value()) << text;
  }
  EXPECT_FALSE(parse_key_file(std::string(513, 'x')).has_value());
}

TEST(KeyFile, IsForItsOwnerAlone) {
  const auto path = std::filesystem::path(testing::TempDir()) / "api_keys_test.txt";
  ASSERT_TRUE(write_text_file(path, "secret\n").has_value());
  std::filesystem::permissions(path, std::filesystem::perms(0644));
  auto loaded = load_key_file(path);
  ASSERT_TRUE(loaded.has_value());
  EXPECT_THAT(loaded->warning.value_or(""), HasSubstr("chmod 600"));
  std::filesystem::permissions(path, std::filesystem::perms(0600));
  loaded = load_key_file(path);
  ASSERT_TRUE(loaded.has_value());
  EXPECT_FALSE(loaded->warning.has_value());
  std::filesystem::remove(path);
  EXPECT_FALSE(load_key_file(path).has_value());
}

TEST(KeyRing, IsOpenedByEitherHeader) {
  const KeyRing ring = ring_of("one\ntwo name=second\n");
  EXPECT_EQ(presented_key(ring, with_headers({{"X-Api-Key", "two"}}))->name, "second");
  EXPECT_EQ(presented_key(ring, with_headers({{"Authorization", "Bearer one"}}))->name, "key 1");
  EXPECT_EQ(presented_key(ring, with_headers({{"authorization", "bearer one"}}))->name, "key 1");
  EXPECT_EQ(
      presented_key(ring, with_headers({{"x-api-key", "no"}, {"Authorization", "Bearer two"}}))
          ->name,
      "second");
}

TEST(KeyRing, StaysClosedToAnythingElse) {
  const KeyRing ring = ring_of("one\n");
  EXPECT_FALSE(ring.is_open());
  EXPECT_TRUE(KeyRing().is_open());
  for (const HttpHeader& header :
       {HttpHeader{"x-api-key", ""}, HttpHeader{"x-api-key", "on"}, HttpHeader{"x-api-key", "one "},
        HttpHeader{"Authorization", "one"}, HttpHeader{"Authorization", "Basic one"},
        HttpHeader{"Authorization", "Bearer"}, HttpHeader{"cookie", "one"}}) {
    EXPECT_EQ(presented_key(ring, with_headers({header})), nullptr) << header.value;
  }
  EXPECT_EQ(presented_key(ring, {}), nullptr);
}

TEST(KeyLimits, TakeTheServersWhereAKeyHasNone) {
  KeyLimits own;
  own.requests_per_minute = 1;
  KeyLimits defaults;
  defaults.requests_per_minute = 2;
  defaults.concurrent_requests = 3;
  const KeyLimits both = own.or_else(defaults);
  EXPECT_EQ(both.requests_per_minute, 1U);
  EXPECT_EQ(both.concurrent_requests, 3U);
  EXPECT_FALSE(both.tokens_per_minute.has_value());
}

}  // namespace
}  // namespace onnxlocal
