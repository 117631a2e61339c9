#include "cli/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace onnxlocal {

namespace {

constexpr unsigned kUsualColumns = 80;

enum class Wait { kReadable, kWoken };

/// Until standard input has something (or its end), or `wake_up` is called.
Wait wait_for_input(WakeUp& wake_up) {
  std::array<pollfd, 2> sources = {pollfd{STDIN_FILENO, POLLIN, 0},
                                   pollfd{wake_up.descriptor(), POLLIN, 0}};
  for (;;) {
    if (::poll(sources.data(), sources.size(), -1) < 0) continue;
    if (sources[1].revents != 0) {
      wake_up.take();
      return Wait::kWoken;
    }
    if (sources[0].revents != 0) return Wait::kReadable;
  }
}

/// Appends what is there; 0 at the end, negative on an error.
ssize_t read_some(std::string& buffer) {
  std::array<char, 65536> bytes;
  ssize_t count = 0;
  do {
    count = ::read(STDIN_FILENO, bytes.data(), bytes.size());
  } while (count < 0 && errno == EINTR);
  if (count > 0) buffer.append(bytes.data(), static_cast<std::size_t>(count));
  return count;
}

}  // namespace

bool is_terminal(std::FILE* stream) { return ::isatty(::fileno(stream)) == 1; }

unsigned terminal_columns(std::FILE* stream) {
  winsize size{};
  if (::ioctl(::fileno(stream), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsualColumns;
  return size.ws_col;
}

std::string without_control_characters(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool is_c0 = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F;
    // U+0080 to U+009F, in UTF-8 C2 80 to C2 9F: some terminals obey these too.
    const bool is_c1 = byte == 0xC2 && i + 1 < text.size() &&
                       static_cast<unsigned char>(text[i + 1]) >= 0x80 &&
                       static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (is_c1) ++i;
    if (!is_c0 && !is_c1) clean.push_back(text[i]);
  }
  return clean;
}

Result<std::string> read_standard_input(std::size_t bytes_max, Interrupts& interrupts) {
  WakeUp interrupted;
  const Interrupts::Handler handler(interrupts, [&] { interrupted.call(); });
  std::string text;
  for (;;) {
    if (wait_for_input(interrupted) == Wait::kWoken) return std::unexpected(cancelled());
    const ssize_t count = read_some(text);
    if (count == 0) return text;
    if (count < 0) {
      return std::unexpected(
          internal_error(fmt::format("cannot read standard input: {}", std::strerror(errno))));
    }
    if (text.size() > bytes_max) {
      return std::unexpected(
          too_large(fmt::format("standard input has more than {} bytes", bytes_max)));
    }
  }
}

std::expected<std::string, LineReader::End> LineReader::read_line(Interrupts& interrupts) {
  WakeUp interrupted;
  const Interrupts::Handler handler(interrupts, [&] { interrupted.call(); });
  for (;;) {
    if (const auto end = buffer_.find('\n'); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    if (is_at_end_) {
      if (buffer_.empty()) return std::unexpected(End::kEndOfInput);
      return std::exchange(buffer_, {});
    }
    if (wait_for_input(interrupted) == Wait::kWoken) {
      buffer_.clear();
      return std::unexpected(End::kInterrupted);
    }
    if (read_some(buffer_) <= 0) is_at_end_ = true;
  }
}

}  // namespace onnxlocal
