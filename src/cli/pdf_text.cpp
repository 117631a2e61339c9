#include "cli/pdf_text.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include "base/child_process.h"
#include "text/pdf.h"

namespace onnxlocal {

namespace {

constexpr unsigned kCpuSeconds = 10;
constexpr std::chrono::seconds kLongest{12};
constexpr std::uint64_t kAddressBytes = std::uint64_t{3} << 30;
constexpr int kRefused = 3;

/// Standard input, and one byte more than is read.
std::string read_input(std::size_t bytes_max) {
  std::string input;
  std::string piece(std::size_t{64} << 10, '\0');
  while (input.size() <= bytes_max) {
    const ssize_t count = ::read(STDIN_FILENO, piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    input.append(piece, 0, static_cast<std::size_t>(count));
  }
  return input;
}

Result<std::string> read_pdf(std::string_view pdf) {
  ChildCommand command{.program = "/proc/self/exe", .arguments = {kPdfTextCommand}, .input = pdf};
  // U+FFFD may stand for each byte.
  command.output_bytes_max = 4 * PdfLimits{}.text_bytes_max;
  auto outcome = run_child(command, Deadline::after(kLongest));
  if (!outcome && outcome.error().code == ErrorCode::kTimeout) {
    return std::unexpected(invalid_request("the PDF file takes too long to read"));
  }
  if (!outcome) return std::unexpected(std::move(outcome).error());
  switch (outcome->exit_code) {
    case 0: return std::move(outcome->output);
    case kRefused: return std::unexpected(invalid_request(std::move(outcome->output)));
    default: break;
  }
  // It ran out of time, memory or stack.
  return std::unexpected(
      invalid_request("the PDF file cannot be read: it is damaged or too large"));
}

}  // namespace

int run_pdf_text() {
  if (!limit_this_process(kCpuSeconds, kAddressBytes)) return 1;
  const auto text = pdf_text(read_input(PdfLimits{}.bytes_max));
  const std::string& output = text ? *text : text.error().message;
  const bool is_written = std::fwrite(output.data(), 1, output.size(), stdout) == output.size();
  if (std::fflush(stdout) != 0 || !is_written) return 1;
  if (text) return 0;
  const ErrorCode code = text.error().code;
  return code == ErrorCode::kInvalidRequest || code == ErrorCode::kTooLarge ? kRefused : 1;
}

anthropic::PdfReader make_pdf_reader() { return read_pdf; }

}  // namespace onnxlocal
