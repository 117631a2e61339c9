#include "cli/output.h"

#include <gtest/gtest.h>

#include "cli/progress.h"
#include "cli/terminal.h"

namespace onnxlocal {
namespace {

TEST(HumanBytes, HaveThreeDigits) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1500), "1.5 kB");
  EXPECT_EQ(human_bytes(97'500'000), "97.5 MB");
  EXPECT_EQ(human_bytes(999'999'999), "1.0 GB");
  EXPECT_EQ(human_bytes(128'000'000'000), "128 GB");
}

TEST(Table, PadsColumnsToTheWidestCell) {
  EXPECT_EQ(table({{"NAME", "SIZE"}, {"a-long-name", "1 B"}, {"caf\xc3\xa9", "2 B"}}),
            "NAME         SIZE\n"
            "a-long-name  1 B\n"
            "caf\xc3\xa9         2 B\n");
}

TEST(JsonText, WritesNumbersAsPeopleDo) {
  EXPECT_EQ(json_text(json::object{{"a", 832.5}, {"b", json::array{1, 0.25, nullptr}}}),
            R"({"a":832.5,"b":[1,0.25,null]})");
  EXPECT_EQ(json_text(json::object{{"q\"", json::object()}, {"e", json::array()}}),
            R"({"q\"":{},"e":[]})");
}

TEST(ExitCodes, TellAnInterruptFromAFailure) {
  EXPECT_EQ(exit_code(cancelled()), ExitCode::kInterrupted);
  EXPECT_EQ(exit_code(not_found("x")), ExitCode::kFailure);
}

TEST(ProgressLine, FitsTheTerminal) {
  EXPECT_EQ(progress_line("importing", 5, 10, 80),
            "importing  [###############---------------]   50 %");
  EXPECT_EQ(progress_line("importing", 5, 0, 80), "importing");
  EXPECT_EQ(progress_line("importing", 12, 10, 20), "importing 100 %");
  for (unsigned columns = 0; columns < 120; ++columns) {
    EXPECT_LE(progress_line("a step with a long name", 1, 3, columns).size(),
              std::max(columns, 2U) - 1);
  }
}

TEST(Terminal, GetsNoOrdersFromAModel) {
  EXPECT_EQ(without_control_characters("a\x1b[31mb\r\n\tc\x07"), "a[31mb\n\tc");
  EXPECT_EQ(without_control_characters("x\xc2\x9b"
                                       "2Jy\xc2\xa0z"),
            "x2Jy\xc2\xa0z");
  EXPECT_EQ(without_control_characters("\xf0\x9f\x98\x80 \xe4\xb8\xad"),
            "\xf0\x9f\x98\x80 \xe4\xb8\xad");
}

}  // namespace
}  // namespace onnxlocal
