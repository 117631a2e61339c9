#include "import/onnx_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <string>

#include "base/file_system.h"
#include "base/hash.h"
#include "model/onnx_file.h"
#include "model/test_folder.h"

namespace onnxlocal {
namespace {

using test::TestFolder;
using testing::HasSubstr;

ByteSource source_of(std::string text) {
  return [text = std::move(text)](const ByteSink& sink) {
    return sink(std::as_bytes(std::span(text)));
  };
}

TEST(ExternalDataPlan, PutsEachTensorOnAPage) {
  const TestFolder folder;
  ExternalDataPlan plan;
  EXPECT_EQ(plan.add(5, source_of("first")), 0U);
  EXPECT_EQ(plan.add(6, source_of("second")), 4096U);
  EXPECT_EQ(plan.size_bytes(), 4102U);
  const auto file = folder.path() / "data";
  const auto written = plan.write(file);
  ASSERT_TRUE(written) << describe(written.error());
  const auto text = read_text_file(file, 1U << 20U);
  ASSERT_TRUE(text);
  EXPECT_EQ(*text, "first" + std::string(4091, '\0') + "second");
  EXPECT_EQ(written->size_bytes, 4102U);
  EXPECT_EQ(written->sha256, sha256_hex(std::as_bytes(std::span(*text))));
}

TEST(ExternalDataPlan, ASourceThatGivesTooLittleIsOurFault) {
  const TestFolder folder;
  ExternalDataPlan plan;
  plan.add(6, source_of("first"));
  const auto written = plan.write(folder.path() / "data");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kInternal);
  EXPECT_THAT(written.error().message, HasSubstr("planned 6 bytes at offset 0, wrote 5"));
}

TEST(ExternalDataPlan, AnErrorOfASourceEndsTheFile) {
  const TestFolder folder;
  ExternalDataPlan plan;
  plan.add(6, [](const ByteSink&) -> Result<void> {
    return std::unexpected(model_corrupt("bad block"));
  });
  const auto written = plan.write(folder.path() / "data");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kModelCorrupt);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "data"));
}

TEST(ExternalDataPlan, CanBeStopped) {
  const TestFolder folder;
  ExternalDataPlan plan;
  std::stop_source stop;
  plan.add(5, [&stop](const ByteSink& sink) {
    stop.request_stop();
    return sink(std::as_bytes(std::span("first", 5)));
  });
  const auto written = plan.write(folder.path() / "data", stop.get_token());
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kCancelled);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "data"));
}

TEST(ExternalDataPlan, ReportsProgressUpToTheWhole) {
  const TestFolder folder;
  ExternalDataPlan plan;
  plan.add(5, source_of("first"));
  std::uint64_t last = 0;
  ASSERT_TRUE(plan.write(folder.path() / "data", {},
                         [&last](std::string_view, std::uint64_t done, std::uint64_t total) {
                           EXPECT_LE(last, done);
                           EXPECT_EQ(total, 5U);
                           last = done;
                         }));
  EXPECT_EQ(last, 5U);
}

TEST(OnnxWriter, TensorsPointIntoTheDataFile) {
  onnx::TensorProto tensor;
  tensor.set_data_type(onnx::TensorProto::UINT8);
  tensor.add_dims(6);
  set_external(tensor, 4096, 6);
  const auto data = external_data(tensor, "folder");
  ASSERT_TRUE(data) << describe(data.error());
  EXPECT_EQ(data->file, std::filesystem::path("folder") / kExternalDataName);
  EXPECT_EQ(data->offset_bytes, 4096U);
  EXPECT_EQ(data->size_bytes, 6U);
}

}  // namespace
}  // namespace onnxlocal
