// Sound files come from the test writer; hostile ones are written byte by byte, or are sound ones
// with one thing changed.
#include "import/gguf_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "gguf_writer.h"
#include "import/gguf_limits.h"

namespace onnxlocal {
namespace {

using test::GgufWriter;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();

/// A GGUF file by hand: `Raw().header(tensors, keys).text("key").u32(4).u32(7)`.
class Raw {
 public:
  Raw& header(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
    bytes_.insert(bytes_.end(), {std::byte{'G'}, std::byte{'G'}, std::byte{'U'}, std::byte{'F'}});
    return u32(version).u64(tensors).u64(keys);
  }
  Raw& u32(std::uint32_t value) { return little_endian(value, 4); }
  Raw& u64(std::uint64_t value) { return little_endian(value, 8); }
  Raw& text(std::string_view value) {
    u64(value.size());
    for (const char c : value) bytes_.push_back(static_cast<std::byte>(c));
    return *this;
  }
  Raw& pad(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) bytes_.push_back(std::byte{0});
    return *this;
  }
  /// A tensor of float32 with one dimension.
  Raw& tensor(std::string_view name, std::uint64_t extent, std::uint64_t offset) {
    return text(name).u32(1).u64(extent).u32(0).u64(offset);
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  Raw& little_endian(std::uint64_t value, int count) {
    for (int i = 0; i < count; ++i) bytes_.push_back(static_cast<std::byte>(value >> (8 * i)));
    return *this;
  }
  std::vector<std::byte> bytes_;
};

void expect_error(const std::vector<std::byte>& bytes, ErrorCode code, std::string_view message) {
  const auto file = GgufFile::parse(bytes);
  ASSERT_FALSE(file.has_value()) << message;
  EXPECT_EQ(file.error().code, code) << file.error().message;
  EXPECT_THAT(file.error().message, HasSubstr(std::string(message)));
  EXPECT_FALSE(file.error().hint.empty()) << file.error().message;
}

void expect_corrupt(const Raw& raw, std::string_view message) {
  expect_error(raw.bytes(), ErrorCode::kModelCorrupt, message);
}

GgufWriter small_file() {
  const std::vector<float> values(64, 0.5F);
  return GgufWriter()
      .add("general.architecture", "llama")
      .add("count", std::uint32_t{7})
      .add("wide", std::uint64_t{9})
      .add("negative", std::int32_t{-3})
      .add("scale", 0.25F)
      .add("flag", true)
      .add("words", std::vector<std::string>{"a", "", "bc"})
      .add("numbers", std::vector<std::int32_t>{1, -2})
      .add("floats", std::vector<float>{0.5F, -1.0F})
      .add_tensor("matrix", {32, 2}, GgmlType::kQ4_1, values)
      .add_tensor("vector", {3}, GgmlType::kF32, std::span(values).first(3));
}

TEST(GgufReader, GivesMetadataByType) {
  const auto bytes = small_file().bytes();
  const auto file = GgufFile::parse(bytes);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_EQ(file->version(), 3U);
  EXPECT_EQ(file->get<std::string_view>("general.architecture"), "llama");
  EXPECT_EQ(file->get<std::uint32_t>("count"), 7U);
  EXPECT_EQ(file->get<std::uint32_t>("wide"), 9U);
  EXPECT_EQ(file->get<float>("scale"), 0.25F);
  EXPECT_EQ(file->get<bool>("flag"), true);
  EXPECT_THAT(file->get<std::vector<std::string_view>>("words").value(),
              ElementsAre("a", "", "bc"));
  EXPECT_THAT(file->get<std::vector<std::int32_t>>("numbers").value(), ElementsAre(1, -2));
  EXPECT_THAT(file->get<std::vector<float>>("floats").value(), ElementsAre(0.5F, -1.0F));
}

TEST(GgufReader, SaysWhichKeyIsMissingOrOfAnotherType) {
  const auto bytes = small_file().bytes();
  const auto file = GgufFile::parse(bytes).value();
  EXPECT_THAT(file.get<bool>("absent").error().message, HasSubstr("'absent'"));
  EXPECT_EQ(file.find<bool>("absent").value(), std::nullopt);
  EXPECT_EQ(file.get_or<std::uint32_t>("absent", 5), 5U);
  for (const auto& error : {file.get<bool>("count").error(), file.find<bool>("count").error(),
                            file.get_or<bool>("count", true).error()}) {
    EXPECT_EQ(error.code, ErrorCode::kModelCorrupt);
    EXPECT_THAT(error.message, HasSubstr("'count' at byte"));
    EXPECT_THAT(error.message, HasSubstr("expected a bool, found uint32"));
  }
  EXPECT_FALSE(file.get<std::uint32_t>("negative").has_value());
  EXPECT_FALSE(file.get<std::string_view>("words").has_value());
  EXPECT_FALSE(file.get<std::vector<float>>("words").has_value());
  EXPECT_FALSE(file.get<std::vector<std::string_view>>("numbers").has_value());
  EXPECT_FALSE(file.get<std::vector<std::int32_t>>("count").has_value());
}

TEST(GgufReader, GivesTensorsWithTheirBytes) {
  const auto bytes = small_file().bytes();
  const auto file = GgufFile::parse(bytes).value();
  ASSERT_EQ(file.tensors().size(), 2U);
  const GgufTensor* matrix = file.find_tensor("matrix");
  ASSERT_NE(matrix, nullptr);
  EXPECT_EQ(to_string(matrix->type), "Q4_1");
  EXPECT_THAT(matrix->shape, ElementsAre(32, 2));
  EXPECT_EQ(matrix->value_count(), 64U);
  EXPECT_EQ(matrix->data.size(), 40U);
  const GgufTensor* vector = file.find_tensor("vector");
  ASSERT_NE(vector, nullptr);
  float values[3];
  ASSERT_EQ(vector->data.size(), sizeof(values));
  std::memcpy(values, vector->data.data(), sizeof(values));
  EXPECT_THAT(values, ElementsAre(0.5F, 0.5F, 0.5F));
  EXPECT_EQ(file.find_tensor("absent"), nullptr);
}

TEST(GgufReader, ReadsAMappedFileAndItsVersionTwo) {
  const auto path = std::filesystem::path(testing::TempDir()) / "reader_test.gguf";
  ASSERT_TRUE(small_file().set_version(2).set_alignment(64).write(path).has_value());
  auto opened = GgufFile::open(path);
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  const GgufFile file = std::move(*opened);  // what it gives stays valid after a move
  EXPECT_EQ(file.version(), 2U);
  EXPECT_EQ(file.get<std::string_view>("general.architecture"), "llama");
  EXPECT_EQ(file.find_tensor("matrix")->data.size(), 40U);
  std::filesystem::remove(path);
  EXPECT_EQ(GgufFile::open(path).error().code, ErrorCode::kNotFound);
}

TEST(GgufReader, ReadsAFileWithoutTensorsThatEndsUnpadded) {
  const auto bytes = GgufWriter().add("k", true).bytes();
  const auto file = GgufFile::parse(bytes);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_TRUE(file->tensors().empty());
}

TEST(GgufReader, SaysHowLongATruncatedFileShouldHaveBeen) {
  const auto whole = small_file().bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto file = GgufFile::parse(std::span(whole).first(size));
    ASSERT_FALSE(file.has_value()) << size;
    ASSERT_EQ(file.error().code, ErrorCode::kModelCorrupt) << size;
    ASSERT_THAT(file.error().hint, HasSubstr("the download is incomplete")) << size;
  }
  const auto file = GgufFile::parse(std::span(whole).first(whole.size() - 1));
  EXPECT_THAT(file.error().hint, HasSubstr("expected at least " + std::to_string(whole.size()) +
                                           " bytes, found " + std::to_string(whole.size() - 1)));
}

TEST(GgufReader, SurvivesEveryChangedByte) {
  const auto whole = small_file().bytes();
  std::size_t read = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const unsigned bits : {0x01U, 0x80U, 0xffU}) {
      auto changed = whole;
      changed[i] ^= static_cast<std::byte>(bits);
      const auto file = GgufFile::parse(changed);
      if (!file) {
        ASSERT_FALSE(file.error().message.empty());
        continue;
      }
      ++read;
      for (const auto& tensor : file->tensors()) {
        ASSERT_GE(tensor.data.data(), changed.data());
        ASSERT_LE(tensor.data.data() + tensor.data.size(), changed.data() + changed.size());
      }
    }
  }
  EXPECT_GT(read, 0U);
}

TEST(GgufReader, RefusesWhatIsNoGguf) {
  Raw onnx;
  onnx.u32(0x08).pad(60);
  expect_corrupt(onnx, "GGUF magic at byte 0");
  expect_corrupt(Raw(), "GGUF magic at byte 0: expected a file of at least 4 bytes, found 0");
}

TEST(GgufReader, RefusesOtherVersionsAndByteOrders) {
  for (const std::uint32_t version : {0U, 1U, 4U}) {
    expect_error(Raw().header(0, 0, version).bytes(), ErrorCode::kUnsupported,
                 "GGUF version at byte 4: expected 2 to 3");
  }
  expect_error(Raw().header(0, 0, 0x03000000).bytes(), ErrorCode::kUnsupported, "big endian");
}

TEST(GgufReader, RefusesCountsThatTheFileCannotHold) {
  expect_corrupt(Raw().header(kHuge, 0), "tensor count at byte 8");
  expect_corrupt(Raw().header(0, kHuge), "metadata key count at byte 16");
  expect_corrupt(Raw().header(1000, 0).pad(1000), "tensor count at byte 8");
  expect_corrupt(Raw().header(0, 1000).pad(1000), "metadata key count at byte 16");
  expect_corrupt(Raw().header(2, 2).pad(50), "tensors and metadata");
}

TEST(GgufReader, RefusesLengthsThatTheFileCannotHold) {
  expect_corrupt(Raw().header(0, 1).u64(kHuge).pad(50), "metadata key at byte 24");
  expect_corrupt(Raw().header(0, 1).u64(60'000).pad(50), "metadata key at byte 32");
  // A string, an array of uint64 whose size overflows, one that is only too long, one of strings.
  expect_corrupt(Raw().header(0, 1).text("key").u32(8).u64(kHuge), "'key' at byte 39");
  expect_corrupt(Raw().header(0, 1).text("key").u32(9).u32(10).u64(kHuge / 8 + 2).pad(64),
                 "'key' at byte 43");
  expect_corrupt(Raw().header(0, 1).text("key").u32(9).u32(0).u64(kHuge).pad(64), "'key'");
  expect_corrupt(Raw().header(0, 1).text("key").u32(9).u32(10).u64(9).pad(64), "'key' at byte 43");
  expect_corrupt(Raw().header(0, 1).text("key").u32(9).u32(8).u64(9).pad(64), "'key' at byte 43");
}

TEST(GgufReader, RefusesValuesOfNoType) {
  expect_corrupt(Raw().header(0, 1).text("key").u32(13).pad(8), "a value type from 0 to 12");
  expect_corrupt(Raw().header(0, 1).text("key").u32(9).u32(13).u64(0), "a value type from 0 to 12");
  expect_corrupt(Raw().header(0, 1).text("key").u32(9).u32(9).u64(0), "an array of arrays");
  expect_corrupt(Raw().header(0, 1).text("key").u32(7).u32(2), "a bool of 0 or 1, found 2");
}

TEST(GgufReader, RefusesTheSameKeyOrTensorTwice) {
  const auto keys = GgufWriter().add("k", true).add("k", true).bytes();
  expect_error(keys, ErrorCode::kModelCorrupt, "each key once, found 'k' again");
  const std::vector<float> one(1);
  const auto tensors = GgufWriter()
                           .add_tensor("t", {1}, GgmlType::kF32, one)
                           .add_tensor("t", {1}, GgmlType::kF32, one)
                           .bytes();
  expect_error(tensors, ErrorCode::kModelCorrupt, "tensor 't' at byte");
}

TEST(GgufReader, RefusesBadAlignments) {
  for (const std::uint32_t alignment : {0U, 24U, 1U << 31}) {
    expect_error(GgufWriter().add("general.alignment", alignment).bytes(), ErrorCode::kModelCorrupt,
                 "a power of two");
  }
  expect_error(GgufWriter().add("general.alignment", "32").bytes(), ErrorCode::kModelCorrupt,
               "general.alignment");
}

TEST(GgufReader, RefusesBadShapes) {
  const auto tensor = [](std::uint32_t dimensions) {
    return Raw().header(1, 0).text("t").u32(dimensions);
  };
  expect_corrupt(tensor(5).pad(64), "at most 4 dimensions, found 5");
  expect_corrupt(tensor(1).u64(0).u32(0).u64(0), "dimensions of 1 or more");
  expect_corrupt(tensor(2).u64(kHuge / 4).u64(3).u32(0).u64(0), "whose product fits 63 bits");
  expect_corrupt(tensor(1).u64(kHuge / 4).u32(0).u64(0), "a size that fits 63 bits");
  expect_corrupt(tensor(1).u64(33).u32(3).u64(0), "rows of whole Q4_1 blocks (32 values)");
}

TEST(GgufReader, NamesATensorTypeThatItDoesNotKnow) {
  expect_error(Raw().header(1, 0).text("t").u32(1).u64(32).u32(4).u64(0).pad(64).bytes(),
               ErrorCode::kUnsupported, "tensor 't' at byte 45: expected a tensor type of ggml's");
  EXPECT_EQ(find_ggml_type(12)->name, "Q4_K");
  EXPECT_EQ(find_ggml_type(99), std::nullopt);
}

TEST(GgufReader, RefusesTensorsThatOverlapOrLeaveTheFile) {
  expect_corrupt(Raw().header(1, 0).tensor("t", 8, 8).pad(100),
                 "an offset that is a multiple of 32");
  expect_corrupt(Raw().header(1, 0).tensor("t", 8, kHuge - 31).pad(100), "multiple of 32");
  expect_corrupt(Raw().header(1, 0).tensor("t", 8, 1U << 20).pad(100),
                 "expected a file of at least");
  expect_corrupt(Raw().header(2, 0).tensor("a", 16, 0).tensor("b", 8, 32).pad(200),
                 "where 'a' ends, found data at byte 32");
  expect_corrupt(Raw().header(2, 0).tensor("a", 8, 0).tensor("b", 8, 0).pad(200),
                 "where 'a' ends, found data at byte 0");
}

TEST(GgufReader, RefusesLongNames) {
  const std::string name(gguf_limits::kTensorNameBytesMax + 1, 'x');
  expect_corrupt(Raw().header(1, 0).tensor(name, 8, 0).pad(200), "tensor name at byte 24");
}

TEST(GgufReader, ShowsNoControlCharactersFromTheFile) {
  const auto file = GgufFile::parse(Raw().header(0, 1).text("a\x1b[31m").u32(99).bytes());
  EXPECT_THAT(file.error().message, HasSubstr("'a?[31m'"));
}

}  // namespace
}  // namespace onnxlocal
