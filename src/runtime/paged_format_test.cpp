// What src/ and ep/ each write down for themselves, held together by the text of ep's headers.

#include "runtime/paged_format.h"

#include <fstream>
#include <iterator>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace onnxlocal {
namespace {

using ::testing::HasSubstr;

std::string text_of(const std::string& header) {
  std::ifstream file(std::string(ONNXLOCAL_TEST_DATA) + "/../../ep/" + header);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(PagedFormat, NamesWhatTheProviderNames) {
  const std::string names = text_of("plugin/names.h");
  const auto define = [](const char* constant, const char* value) {
    return fmt::format("{} = \"{}\";", constant, value);
  };
  EXPECT_THAT(names, HasSubstr(define("kProviderName", kOwnProviderName)));
  EXPECT_THAT(names, HasSubstr(define("kDomain", kPagedDomain)));
  EXPECT_THAT(names, HasSubstr(define("kPagedAttentionOp", kPagedAttentionOp)));
  EXPECT_THAT(names, HasSubstr(define("kOptionThreads", kThreadsOption)));
  EXPECT_THAT(names, HasSubstr(define("kOptionPackedFile", kPackedFileOption)));
  EXPECT_THAT(names, HasSubstr(define("kOptionProfile", kProfileOption)));
  EXPECT_THAT(names, HasSubstr(define("kOptionIsa", kIsaOption)));
  EXPECT_THAT(names, HasSubstr(define("kMetadataIsa", kIsaMetadata)));
  EXPECT_THAT(names, HasSubstr(define("kMetadataIsas", kIsasMetadata)));
}

TEST(PagedFormat, HasPagesOfTheProvidersSize) {
  const std::string attention = text_of("attention/attention.h");
  EXPECT_THAT(attention, HasSubstr(fmt::format("kPageTokens = {};", kPageTokens)));
  const PageGeometry geometry{.layers = 30, .kv_heads = 3, .head_dim = 64};
  EXPECT_EQ(geometry.token_bytes(), 30U * 3 * 64 * 2 * 2);
  EXPECT_EQ(geometry.page_bytes(), 32U * geometry.token_bytes());
  const PageGeometry int8{.layers = 30, .kv_heads = 3, .head_dim = 64, .type = KvCacheType::kInt8};
  EXPECT_EQ(int8.token_bytes(), 30U * 3 * (64 + 4) * 2);
}

}  // namespace
}  // namespace onnxlocal
