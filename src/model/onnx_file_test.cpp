#include "model/onnx_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <string>

#include "model/test_folder.h"

namespace onnxlocal {
namespace {

using test::TestFolder;
using testing::HasSubstr;

/// A model with one external float tensor of 4 x 8 values (128 bytes) at an offset.
onnx::ModelProto external_model(const std::string& location = "weights.bin",
                                const std::string& offset = "4096") {
  onnx::ModelProto model;
  model.set_ir_version(10);
  auto* tensor = model.mutable_graph()->add_initializer();
  tensor->set_name("w");
  tensor->set_data_type(onnx::TensorProto::FLOAT);
  tensor->add_dims(4);
  tensor->add_dims(8);
  tensor->set_data_location(onnx::TensorProto::EXTERNAL);
  for (const auto& [key, value] : {std::pair<std::string, std::string>{"location", location},
                                   {"offset", offset},
                                   {"length", "128"}}) {
    auto* entry = tensor->add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  }
  return model;
}

std::string check_error(const onnx::ModelProto& model, const TestFolder& folder) {
  const auto checked = check_external_data(model, folder.path());
  if (checked) return "no error";
  EXPECT_EQ(checked.error().code, ErrorCode::kModelCorrupt);
  return checked.error().message;
}

TEST(OnnxFile, ReadsWhatItWrites) {
  const TestFolder folder;
  const auto model = external_model();
  ASSERT_TRUE(write_onnx_file(folder.path() / "model.onnx", model));
  onnx::ModelProto back;
  ASSERT_TRUE(read_onnx_file(folder.path() / "model.onnx", back));
  EXPECT_EQ(back.SerializeAsString(), model.SerializeAsString());
}

TEST(OnnxFile, SaysWhatIsWrongWithAFileThatIsNoModel) {
  const TestFolder folder;
  onnx::ModelProto model;
  const auto missing = read_onnx_file(folder.path() / "none.onnx", model);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);

  const auto empty = read_onnx_file(folder.write("empty.onnx", ""), model);
  ASSERT_FALSE(empty);
  EXPECT_THAT(empty.error().message, HasSubstr("empty file"));

  const auto other = read_onnx_file(folder.write("other.onnx", "<html>not found</html>"), model);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kModelCorrupt);
  EXPECT_THAT(other.error().message, HasSubstr("other.onnx: 22 bytes that are not a whole ONNX"));
}

TEST(OnnxFile, ATruncatedModelIsCorruptOrHasNoGraph) {
  const TestFolder folder;
  const auto bytes = external_model().SerializeAsString();
  for (std::size_t size = 1; size < bytes.size(); ++size) {
    onnx::ModelProto model;
    const auto read = read_onnx_file(folder.write("cut.onnx", bytes.substr(0, size)), model);
    if (read) continue;
    EXPECT_EQ(read.error().code, ErrorCode::kModelCorrupt) << size;
  }
  onnx::ModelProto model;
  EXPECT_FALSE(read_onnx_file(folder.write("cut.onnx", bytes.substr(0, bytes.size() - 1)), model));
}

TEST(ExternalData, IsSoundWhereTheFileIsLongEnough) {
  const TestFolder folder;
  folder.write("weights.bin", std::string(4096 + 128, 'x'));
  EXPECT_EQ(check_error(external_model(), folder), "no error");
}

TEST(ExternalData, AMissingFileIsNamed) {
  const TestFolder folder;
  EXPECT_THAT(check_error(external_model(), folder), HasSubstr("weights.bin: missing; tensor 'w'"));
}

TEST(ExternalData, ATruncatedFileGivesExpectedAndFoundSize) {
  const TestFolder folder;
  folder.write("weights.bin", std::string(4096 + 127, 'x'));
  EXPECT_THAT(check_error(external_model(), folder),
              HasSubstr("expected at least 4224 bytes (tensor 'w' has 128 at offset 4096), found "
                        "4223"));
}

TEST(ExternalData, APathThatLeavesTheFolderIsRefused) {
  const TestFolder folder;
  for (const auto* path : {"../weights.bin", "/etc/passwd", "a/../../b", ""}) {
    EXPECT_THAT(check_error(external_model(path), folder),
                HasSubstr("inside the model's folder, found '" + std::string(path) + "'"));
  }
}

TEST(ExternalData, NumbersMustBeNumbers) {
  const TestFolder folder;
  for (const auto* offset : {"-1", "x", "99999999999999999999999", "1 "}) {
    EXPECT_THAT(check_error(external_model("weights.bin", offset), folder),
                HasSubstr("expected a number"))
        << offset;
  }
  folder.write("weights.bin", "x");
  EXPECT_THAT(check_error(external_model("weights.bin", "18446744073709551615"), folder),
              HasSubstr("truncated"));
}

TEST(ExternalData, ImpossibleShapesAreRefused) {
  const TestFolder folder;
  auto negative = external_model();
  negative.mutable_graph()->mutable_initializer(0)->set_dims(0, -4);
  EXPECT_THAT(check_error(negative, folder), HasSubstr("impossible shape"));
  auto huge = external_model();
  huge.mutable_graph()->mutable_initializer(0)->set_dims(0, std::int64_t{1} << 62);
  huge.mutable_graph()->mutable_initializer(0)->set_dims(1, std::int64_t{1} << 62);
  EXPECT_THAT(check_error(huge, folder), HasSubstr("impossible shape"));
  auto other = external_model();
  other.mutable_graph()->mutable_initializer(0)->set_dims(0, 5);
  EXPECT_THAT(check_error(other, folder),
              HasSubstr("need 160 bytes, its external data entry says"));
  auto text = external_model();
  text.mutable_graph()->mutable_initializer(0)->set_data_type(onnx::TensorProto::STRING);
  EXPECT_THAT(check_error(text, folder), HasSubstr("data type 8 cannot be stored outside"));
}

TEST(ExternalData, FourBitTypesTakeHalfAByte) {
  auto model = external_model();
  auto* tensor = model.mutable_graph()->mutable_initializer(0);
  constexpr int kInt4 = 22;
  tensor->set_data_type(kInt4);
  tensor->set_dims(1, 64);
  const auto data = external_data(*tensor, "folder");
  ASSERT_TRUE(data) << describe(data.error());
  EXPECT_EQ(data->size_bytes, 128U);
  EXPECT_EQ(data->offset_bytes, 4096U);
  EXPECT_EQ(data->file, std::filesystem::path("folder/weights.bin"));
}

TEST(ExternalData, IsCheckedInSubgraphsToo) {
  const TestFolder folder;
  onnx::ModelProto model;
  auto* attribute = model.mutable_graph()->add_node()->add_attribute();
  *attribute->mutable_g() = external_model().graph();
  EXPECT_THAT(check_error(model, folder), HasSubstr("weights.bin: missing"));
}

}  // namespace
}  // namespace onnxlocal
