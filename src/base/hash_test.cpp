#include "base/hash.h"

#include <gtest/gtest.h>

#include <bit>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

namespace onnxlocal {
namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// The examples of FIPS 180-4.
constexpr auto kEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr auto kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr auto kMillionA = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST(ConstantTime, ComparesWholeTexts) {
  EXPECT_TRUE(equal_in_constant_time("abc", "abc"));
  EXPECT_TRUE(equal_in_constant_time("", ""));
  EXPECT_FALSE(equal_in_constant_time("abc", "abd"));
  EXPECT_FALSE(equal_in_constant_time("abc", "ab"));
}

TEST(Sha256, AgreesWithThePublishedExamples) {
  EXPECT_EQ(sha256_hex({}), kEmpty);
  EXPECT_EQ(sha256_hex(bytes("abc")), kAbc);
}

TEST(Sha256, DoesNotDependOnThePieces) {
  const std::string text(1'000'000, 'a');
  Sha256 hash;
  for (std::size_t i = 0; i < text.size(); i += 999) {
    hash.update(bytes(std::string_view(text).substr(i, 999)));
  }
  EXPECT_EQ(hash.finish_hex(), kMillionA);
}

TEST(Sha256, ReadsAFileAndTellsHowFarItIs) {
  const auto path = std::filesystem::path(testing::TempDir()) / "sha256_test_file";
  std::ofstream(path, std::ios::binary) << std::string(1'000'000, 'a');
  std::uint64_t last_done = 0;
  const auto hash = sha256_file(
      path, {}, [&](std::string_view, std::uint64_t done, std::uint64_t) { last_done = done; });
  EXPECT_EQ(hash.value_or(""), kMillionA);
  EXPECT_EQ(last_done, 1'000'000U);

  const std::stop_source source;
  source.request_stop();
  EXPECT_EQ(sha256_file(path, source.get_token()).error().code, ErrorCode::kCancelled);
  std::filesystem::remove(path);
  EXPECT_EQ(sha256_file(path).error().code, ErrorCode::kNotFound);
}

TEST(Xxh64, AgreesWithThePublishedValues) {
  EXPECT_EQ(xxh64({}), 0xEF46DB3751D8E999ULL);
  EXPECT_EQ(xxh64(bytes("a")), 0xD24EC4F1A98C6E5BULL);
  EXPECT_EQ(xxh64(bytes("abc")), 0x44BC2CF5AD770999ULL);
  EXPECT_EQ(xxh64(bytes("Nobody inspects the spammish repetition")), 0xFBCEA83C8A378BF1ULL);
}

TEST(Xxh64, EveryLengthSeedAndByteCounts) {
  std::set<std::uint64_t> seen;
  std::vector<std::byte> zeros(100);
  for (std::size_t size = 0; size <= zeros.size(); ++size) {
    EXPECT_TRUE(seen.insert(xxh64(std::span(zeros).first(size), 0)).second) << size;
    EXPECT_TRUE(seen.insert(xxh64(std::span(zeros).first(size), 1)).second) << size;
  }
  for (std::size_t i = 0; i < zeros.size(); ++i) {
    auto changed = zeros;
    changed[i] = std::byte{1};
    EXPECT_TRUE(seen.insert(xxh64(changed)).second) << i;
  }
}

TEST(HashBytes, EveryLengthSeedAndByteCounts) {
  std::set<std::uint64_t> seen;
  const std::vector<std::byte> zeros(100);
  for (std::size_t size = 0; size <= zeros.size(); ++size) {
    EXPECT_TRUE(seen.insert(hash_bytes(std::span(zeros).first(size), 0)).second) << size;
    EXPECT_TRUE(seen.insert(hash_bytes(std::span(zeros).first(size), 1)).second) << size;
  }
  for (std::size_t i = 0; i < zeros.size(); ++i) {
    auto changed = zeros;
    changed[i] = std::byte{1};
    EXPECT_TRUE(seen.insert(hash_bytes(changed, 0)).second) << i;
  }
}

TEST(HashBytes, AFlippedBitFlipsAboutHalfOfTheHash) {
  std::vector<std::byte> text(40, std::byte{0x5A});
  const std::uint64_t before = hash_bytes(text, 42);
  int flipped = 0;
  for (std::size_t bit = 0; bit < text.size() * 8; ++bit) {
    const auto mask = std::byte{1} << static_cast<int>(bit % 8);
    text[bit / 8] ^= mask;
    flipped += std::popcount(before ^ hash_bytes(text, 42));
    text[bit / 8] ^= mask;
  }
  const double mean = flipped / static_cast<double>(text.size() * 8);
  EXPECT_NEAR(mean, 32.0, 1.0);
}

}  // namespace
}  // namespace onnxlocal
