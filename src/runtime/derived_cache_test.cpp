#include "runtime/derived_cache.h"

#include <chrono>
#include <fstream>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file_lock.h"
#include "runtime/test_models.h"

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::ScratchFolder;

class DerivedCache : public ::testing::Test {
 protected:
  /// A derived model whose key is 32 times `digit`.
  fs::path make(char digit, const fs::path& model) const {
    const fs::path folder = derived() / std::string(32, digit);
    fs::create_directories(folder);
    std::ofstream(folder / "model.onnx") << "weights";
    std::ofstream(folder / "made_from") << model.string();
    return folder;
  }
  /// The same, and uses it.
  void use(char digit, const fs::path& model) const {
    tidy_derived_models(make(digit, model), model);
  }
  fs::path model(const std::string& name) const {
    std::ofstream(scratch_.path() / name) << "model";
    return scratch_.path() / name;
  }
  /// First characters of what is there.
  std::set<char> left() const {
    std::set<char> keys;
    for (const auto& entry : fs::directory_iterator(derived())) {
      keys.insert(entry.path().filename().string().front());
    }
    return keys;
  }
  fs::path derived() const { return scratch_.path() / "derived"; }
  const fs::path& scratch() const { return scratch_.path(); }

 private:
  ScratchFolder scratch_;
};

TEST_F(DerivedCache, LosesAnEarlierVersionOfTheModel) {
  make('a', model("one"));
  make('b', model("two"));
  use('c', model("one"));
  EXPECT_THAT(left(), ElementsAre('b', 'c'));
}

TEST_F(DerivedCache, LosesWhatWasMadeFromAModelThatIsGone) {
  make('a', model("one"));
  fs::remove(scratch() / "one");
  make('b', "");
  fs::remove(derived() / std::string(32, 'b') / "made_from");
  use('c', model("two"));
  EXPECT_THAT(left(), ElementsAre('c'));
}

TEST_F(DerivedCache, KeepsWhatIsInUse) {
  const fs::path used = make('a', model("one"));
  auto lock = FileLock::try_share(used);
  ASSERT_TRUE(lock);
  use('b', model("one"));
  EXPECT_TRUE(fs::exists(used / "model.onnx"));
  lock.reset();
  use('b', model("one"));
  EXPECT_THAT(left(), ElementsAre('b'));
}

TEST_F(DerivedCache, KeepsTheMostRecentlyUsedUpToItsBound) {
  const std::string digits = "0123456789";
  const auto now = fs::file_time_type::clock::now();
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const fs::path folder = make(digits[i], model(std::string("m") + digits[i]));
    fs::last_write_time(folder / "made_from", now - std::chrono::hours(100 - i));
  }
  use('0', model("m0"));
  EXPECT_THAT(left(), ElementsAre('0', '3', '4', '5', '6', '7', '8', '9'));
  EXPECT_EQ(left().size(), kDerivedKeptMax + 1);
  // The oldest became the newest when it was used.
  use('a', model("another"));
  EXPECT_THAT(left(), ElementsAre('0', '4', '5', '6', '7', '8', '9', 'a'));
}

TEST_F(DerivedCache, LosesWhatACrashLeft) {
  const fs::path half_made = derived() / ".0123.staging-1-1";
  fs::create_directories(half_made);
  const fs::path being_made = derived() / ".4567.staging-1-1";
  fs::create_directories(being_made);
  const auto lock = FileLock::try_acquire(being_made);
  ASSERT_TRUE(lock);
  use('a', model("one"));
  EXPECT_FALSE(fs::exists(half_made));
  EXPECT_TRUE(fs::exists(being_made));
}

TEST_F(DerivedCache, FollowsAModelThatWasMoved) {
  use('a', model("one"));
  fs::rename(scratch() / "one", scratch() / "moved");
  tidy_derived_models(derived() / std::string(32, 'a'), scratch() / "moved");
  use('b', model("two"));
  EXPECT_THAT(left(), ElementsAre('a', 'b'));
}

TEST_F(DerivedCache, LeavesAloneWhatIsNotOurs) {
  fs::create_directories(derived() / "notes");
  std::ofstream(derived() / "readme") << "hello";
  use('a', model("one"));
  EXPECT_TRUE(fs::exists(derived() / "notes"));
  EXPECT_TRUE(fs::exists(derived() / "readme"));
}

TEST_F(DerivedCache, MayBeMissing) {
  tidy_derived_models(derived() / std::string(32, 'a'), model("one"));
  EXPECT_FALSE(fs::exists(derived()));
}

}  // namespace
}  // namespace onnxlocal
