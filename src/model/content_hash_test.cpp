#include "model/content_hash.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "model/manifest.h"

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;

class ContentHashTest : public ::testing::Test {
 protected:
  ContentHashTest() {
    fs::remove_all(root);
    fs::create_directories(root / "one");
  }
  ~ContentHashTest() override { fs::remove_all(root); }
  void write(const fs::path& file, const std::string& text) { std::ofstream(root / file) << text; }
  std::string hash_of(const std::string& name) {
    ModelFolder folder;
    folder.path = root / name;
    folder.name = name;
    return content_hash(folder);
  }
  static std::string manifest(const std::string& name, const std::string& digest) {
    Manifest manifest;
    manifest.name = name;
    manifest.files = {{.name = "model.onnx", .size_bytes = 3, .sha256 = digest}};
    return to_json(manifest);
  }
  fs::path root = fs::path(testing::TempDir()) / "content_hash_test";
};

TEST_F(ContentHashTest, IsTheSameForACopyUnderAnotherName) {
  write("one/model.onnx", "abc");
  write("one/manifest.json", manifest("one", std::string(64, 'a')));
  fs::create_directories(root / "two");
  write("two/model.onnx", "abc");
  write("two/manifest.json", manifest("two", std::string(64, 'a')));
  EXPECT_EQ(hash_of("one"), hash_of("two"));
}

TEST_F(ContentHashTest, ChangesWithTheFiles) {
  write("one/manifest.json", manifest("one", std::string(64, 'a')));
  const std::string before = hash_of("one");
  write("one/manifest.json", manifest("one", std::string(64, 'b')));
  EXPECT_NE(hash_of("one"), before);
}

TEST_F(ContentHashTest, LooksAtTheFilesWithoutAManifest) {
  write("one/model.onnx", "abc");
  const std::string before = hash_of("one");
  EXPECT_EQ(hash_of("one"), before);
  write("one/model.onnx", "abcd");
  EXPECT_NE(hash_of("one"), before);
}

}  // namespace
}  // namespace onnxlocal
