#include "base/child_process.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace onnxlocal {
namespace {

Deadline soon() { return Deadline::after(std::chrono::seconds(30)); }

ChildCommand shell(const char* script, std::string_view input = {}) {
  return {.program = "/bin/sh", .arguments = {"-c", script}, .input = input};
}

TEST(ChildProcess, GetsItsInputAndGivesItsOutput) {
  const std::string input(3 << 20, 'x');
  ChildCommand command{.program = "/bin/cat", .arguments = {}, .input = input};
  command.output_bytes_max = input.size();
  const auto outcome = run_child(command, soon());
  ASSERT_TRUE(outcome.has_value()) << outcome.error().message;
  EXPECT_EQ(outcome->exit_code, 0);
  EXPECT_EQ(outcome->output, input);
}

TEST(ChildProcess, TellsItsExitCodeOrItsSignal) {
  EXPECT_EQ(run_child(shell("exit 3"), soon())->exit_code, 3);
  EXPECT_EQ(run_child(shell("kill -9 $$"), soon())->exit_code, 128 + 9);
}

TEST(ChildProcess, MayLeaveItsInputUnread) {
  const std::string input(3 << 20, 'x');
  const auto outcome = run_child(shell("exec <&-; echo done", input), soon());
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->output, "done\n");
}

TEST(ChildProcess, HasNoEnvironmentAndNoErrorOutput) {
  EXPECT_EQ(run_child(shell("echo $HOME; echo loud >&2"), soon())->output, "\n");
}

TEST(ChildProcess, IsKilledAtTheDeadlineWhetherItsOutputIsOpenOrNot) {
  for (const char* script : {"while :; do :; done", "exec >&-; while :; do :; done"}) {
    const auto outcome = run_child(shell(script), Deadline::after(std::chrono::milliseconds(50)));
    ASSERT_FALSE(outcome.has_value());
    EXPECT_EQ(outcome.error().code, ErrorCode::kTimeout);
  }
}

TEST(ChildProcess, IsKilledWhereItWritesTooMuch) {
  ChildCommand command = shell("while :; do echo xxxxxxxxxxxxxxxx; done");
  command.output_bytes_max = 1000;
  const auto outcome = run_child(command, soon());
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().code, ErrorCode::kTooLarge);
}

TEST(ChildProcess, IsNotThereWhereItsProgramIsNot) {
  const ChildCommand command{.program = "/no/such/program", .arguments = {}, .input = {}};
  const auto outcome = run_child(command, soon());
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace onnxlocal
