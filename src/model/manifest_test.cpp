#include "model/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/hash.h"
#include "model/test_folder.h"

namespace onnxlocal {
namespace {

using test::TestFolder;
using testing::HasSubstr;

std::string sha256_of(std::string_view text) { return sha256_hex(std::as_bytes(std::span(text))); }

Manifest one_file_manifest(std::string_view text) {
  Manifest manifest;
  manifest.name = "tiny";
  manifest.source = "tiny.gguf";
  manifest.revision = sha256_of("source");
  manifest.licence = "apache-2.0";
  manifest.quantization = "Q4_1";
  manifest.parameters = 1234;
  manifest.files = {{"model.onnx", text.size(), sha256_of(text)}};
  return manifest;
}

TEST(Manifest, ReadsWhatItWrites) {
  const auto manifest = one_file_manifest("graph");
  const auto back = parse_manifest(to_json(manifest), "manifest.json");
  ASSERT_TRUE(back) << describe(back.error());
  EXPECT_EQ(back->name, manifest.name);
  EXPECT_EQ(back->source, manifest.source);
  EXPECT_EQ(back->revision, manifest.revision);
  EXPECT_EQ(back->licence, manifest.licence);
  EXPECT_EQ(back->quantization, manifest.quantization);
  EXPECT_EQ(back->parameters, manifest.parameters);
  EXPECT_EQ(back->files, manifest.files);
}

TEST(Manifest, KeepsTheWindowThatWasChosen) {
  auto manifest = one_file_manifest("graph");
  manifest.context = {.tokens = 32768, .rope_scaling = "yarn", .rope_factor = 4.5};
  const auto back = parse_manifest(to_json(manifest), "manifest.json");
  ASSERT_TRUE(back) << describe(back.error());
  EXPECT_EQ(back->context, manifest.context);
  EXPECT_FALSE(parse_manifest(to_json(one_file_manifest("graph")), "manifest.json")->context);
}

TEST(Manifest, RefusesPathsThatLeaveTheFolder) {
  for (const auto* name : {"../model.onnx", "/etc/passwd", "a/../../b", ""}) {
    auto manifest = one_file_manifest("graph");
    manifest.files[0].name = name;
    const auto back = parse_manifest(to_json(manifest), "manifest.json");
    ASSERT_FALSE(back) << name;
    EXPECT_THAT(back.error().message, HasSubstr("inside the model's folder"));
  }
}

TEST(Manifest, RefusesWhatIsNoHash) {
  auto manifest = one_file_manifest("graph");
  manifest.files[0].sha256 = "ABC";
  const auto back = parse_manifest(to_json(manifest), "manifest.json");
  ASSERT_FALSE(back);
  EXPECT_THAT(back.error().message, HasSubstr("64 lower-case hexadecimal digits, found 'ABC'"));
}

TEST(Manifest, SaysWhenTheFormatIsNewer) {
  const auto back = parse_manifest(R"({"format": 2, "name": "x", "files": []})", "manifest.json");
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().code, ErrorCode::kUnsupported);
}

TEST(Manifest, FilesAreVerifiedBySizeAndByHash) {
  const TestFolder folder;
  const auto manifest = one_file_manifest("graph");
  folder.write("model.onnx", "graph");
  EXPECT_TRUE(verify_files(folder.path(), manifest, true));

  folder.write("model.onnx", "GRAPH");
  EXPECT_TRUE(verify_files(folder.path(), manifest, false));
  const auto changed = verify_files(folder.path(), manifest, true);
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().code, ErrorCode::kModelCorrupt);
  EXPECT_THAT(changed.error().message, HasSubstr("expected sha256 " + manifest.files[0].sha256));

  folder.write("model.onnx", "gra");
  const auto truncated = verify_files(folder.path(), manifest, false);
  ASSERT_FALSE(truncated);
  EXPECT_THAT(truncated.error().message, HasSubstr("model.onnx: expected 5 bytes, found 3"));
}

TEST(Manifest, AMissingFileIsNamed) {
  const TestFolder folder;
  const auto missing = verify_files(folder.path(), one_file_manifest("graph"), false);
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("model.onnx: expected 5 bytes, found no such"));
}

TEST(Manifest, VerifyingCanBeStopped) {
  const TestFolder folder;
  folder.write("model.onnx", "graph");
  std::stop_source stop;
  stop.request_stop();
  const auto stopped =
      verify_files(folder.path(), one_file_manifest("graph"), true, stop.get_token());
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace onnxlocal
