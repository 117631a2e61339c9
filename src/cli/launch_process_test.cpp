#include "cli/launch_process.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "base/deadline.h"
#include "model/test_folder.h"

namespace onnxlocal {
namespace {

namespace fs = std::filesystem;
using test::TestFolder;

constexpr std::chrono::seconds kPatience{30};

Result<ChildProcess> start_shell(const std::string& script, const LaunchSignals& signals,
                                 const fs::path& output) {
  return ChildProcess::start({.program = "/bin/sh",
                              .arguments = {"-c", script},
                              .environment = {"PATH=/bin:/usr/bin", "GREETING=hello there"},
                              .output_file = output},
                             signals);
}

std::string text_of(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

/// Waits until the program has said it in its output.
bool has_said(const fs::path& output, const LaunchSignals& signals, const std::string& what) {
  const auto deadline = Deadline::after(kPatience);
  while (!deadline.has_passed()) {
    if (text_of(output).find(what) != std::string::npos) return true;
    static_cast<void>(signals.wait(std::chrono::milliseconds(5)));
  }
  return false;
}

TEST(FindProgram, LooksInEachFolderOfThePath) {
  const TestFolder folder;
  folder.write("b/tool", "#!/bin/sh\n");
  const std::string path = (folder.path() / "a").string() + "::" + (folder.path() / "b").string();
  EXPECT_FALSE(find_program("tool", path)) << "it may not be run";
  fs::permissions(folder.path() / "b" / "tool", fs::perms::owner_all);
  EXPECT_EQ(find_program("tool", path), folder.path() / "b" / "tool");
  EXPECT_FALSE(find_program("other", path));
  EXPECT_FALSE(find_program("tool", ""));
}

TEST(ChildProcess, ReturnsTheExitCode) {
  const TestFolder folder;
  const LaunchSignals signals;
  auto child = start_shell("echo $GREETING; exit 7", signals, folder.path() / "out");
  ASSERT_TRUE(child) << describe(child.error());
  EXPECT_EQ(wait_and_pass_signals(*child, signals), 7);
  EXPECT_EQ(text_of(folder.path() / "out"), "hello there\n");
}

TEST(ChildProcess, ASignalThatEndsItIsTold) {
  const TestFolder folder;
  const LaunchSignals signals;
  auto child = start_shell("kill -KILL $$", signals, folder.path() / "out");
  ASSERT_TRUE(child);
  EXPECT_EQ(wait_and_pass_signals(*child, signals), 128 + SIGKILL);
}

TEST(ChildProcess, SignalsArePassedOn) {
  const TestFolder folder;
  const auto output = folder.path() / "out";
  const LaunchSignals signals;
  auto child =
      start_shell("trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done", signals, output);
  ASSERT_TRUE(child);
  ASSERT_TRUE(has_said(output, signals, "ready"));
  ::kill(::getpid(), SIGTERM);
  EXPECT_EQ(wait_and_pass_signals(*child, signals), 9);
}

TEST(ChildProcess, IsEndedWithItsOwner) {
  const TestFolder folder;
  const auto output = folder.path() / "out";
  const LaunchSignals signals;
  {
    auto child = start_shell(
        "trap 'echo stopped; exit' TERM; echo ready; "
        "while :; do sleep 0.05; done",
        signals, output);
    ASSERT_TRUE(child);
    ASSERT_TRUE(has_said(output, signals, "ready"));
  }
  EXPECT_TRUE(text_of(output).ends_with("stopped\n"));
}

TEST(ChildProcess, AProgramThatIsNotThereIsAnError) {
  const LaunchSignals signals;
  const auto missing = ChildProcess::start(
      {.program = "/nowhere/tool", .arguments = {}, .environment = {}}, signals);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace onnxlocal
