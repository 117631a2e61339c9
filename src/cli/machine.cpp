#include "cli/machine.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

#include <fmt/format.h>

namespace onnxlocal {

namespace {

namespace fs = std::filesystem;

/// x86-64 names from the kernel's "flags", arm64's from "Features".
constexpr std::array<std::string_view, 14> kFeatures = {
    "avx",         "avx2",     "fma",      "f16c",  "avx_vnni", "avx512f", "avx512_vnni",
    "avx512_bf16", "amx_int8", "amx_bf16", "asimd", "asimddp",  "i8mm",    "sve"};

/// The value in a line "name : value".
std::string_view value_of(std::string_view line, std::string_view name) {
  if (!line.starts_with(name)) return {};
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return {};
  const auto start = line.find_first_not_of(" \t", colon + 1);
  return start == std::string_view::npos ? std::string_view() : line.substr(start);
}

std::vector<std::string> known_features(std::string_view words) {
  std::vector<std::string> found;
  std::istringstream stream{std::string(words)};
  for (std::string word; stream >> word;) {
    if (std::ranges::find(kFeatures, word) != kFeatures.end()) found.push_back(word);
  }
  return found;
}

Error port_error(const std::string& host, std::uint16_t port, std::string_view why) {
  return unavailable(fmt::format("cannot use {}:{}: {}", host, port, why),
                     "Choose another one: --host, --port.");
}

}  // namespace

ProcessorInfo parse_processor_info(std::string_view cpuinfo) {
  ProcessorInfo info;
  std::istringstream lines{std::string(cpuinfo)};
  for (std::string line; std::getline(lines, line);) {
    if (info.name.empty()) info.name = value_of(line, "model name");
    if (!info.features.empty()) continue;
    auto words = value_of(line, "flags");
    if (words.empty()) words = value_of(line, "Features");
    info.features = known_features(words);
  }
  return info;
}

ProcessorInfo processor_info() {
  const std::ifstream file("/proc/cpuinfo");
  std::stringstream text;
  text << file.rdbuf();
  return parse_processor_info(text.str());
}

unsigned logical_processors() { return std::max(1U, std::thread::hardware_concurrency()); }

std::uint64_t machine_memory_bytes() {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page_bytes = ::sysconf(_SC_PAGESIZE);
  if (pages < 0 || page_bytes < 0) return 0;
  return static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes);
}

bool is_writable(const fs::path& folder) {
  std::error_code ignored;
  fs::path existing = fs::absolute(folder, ignored);
  while (!fs::exists(existing, ignored) && existing.has_relative_path()) {
    existing = existing.parent_path();
  }
  return ::access(existing.c_str(), W_OK) == 0;
}

Result<PortState> probe_port(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int outcome = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (outcome != 0) return std::unexpected(port_error(host, port, ::gai_strerror(outcome)));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
  const int descriptor = ::socket(addresses->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return std::unexpected(port_error(host, port, std::strerror(errno)));
  // As the server does: connections that linger from an earlier one do not count.
  const int yes = 1;
  static_cast<void>(::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes));
  const bool is_bound = ::bind(descriptor, addresses->ai_addr, addresses->ai_addrlen) == 0 &&
                        ::listen(descriptor, 1) == 0;
  const int why = errno;
  ::close(descriptor);
  if (is_bound) return PortState::kFree;
  if (why == EADDRINUSE) return PortState::kInUse;
  return std::unexpected(port_error(host, port, std::strerror(why)));
}

}  // namespace onnxlocal
