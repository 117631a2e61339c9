#include "base/hash.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <vector>

#include "base/check.h"
#include "base/descriptor.h"

namespace onnxlocal {

namespace {

constexpr std::size_t kDigestBytes = 32;
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
constexpr auto kProgressInterval = std::chrono::milliseconds(200);

__extension__ using Product = unsigned __int128;

std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  const Product product = static_cast<Product>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t load(const std::byte* bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

std::string system_message(int number) { return std::generic_category().message(number); }

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() {
    CHECK(context != nullptr);
    CHECK(EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1);
  }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const std::byte> bytes) {
  CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish_hex() {
  std::array<unsigned char, kDigestBytes> digest{};
  CHECK(EVP_DigestFinal_ex(state_->context, digest.data(), nullptr) == 1);
  std::string hex;
  for (const unsigned char byte : digest) hex += fmt::format("{:02x}", byte);
  return hex;
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish_hex();
}

Result<std::string> sha256_file(const std::filesystem::path& path, const std::stop_token& stop,
                                const ProgressSink& progress) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) {
    const int number = errno;
    const std::string message = fmt::format("{}: {}", path.string(), system_message(number));
    return std::unexpected(number == ENOENT ? not_found(message) : internal_error(message));
  }
  struct stat status{};
  const std::uint64_t total = ::fstat(file.number(), &status) == 0 ? status.st_size : 0;
  const std::string what = fmt::format("checking {}", path.filename().string());
  Sha256 hash;
  std::vector<std::byte> piece(kPieceBytes);
  std::uint64_t done = 0;
  auto last_report = std::chrono::steady_clock::now();
  while (true) {
    if (stop.stop_requested()) return std::unexpected(cancelled());
    const ssize_t count = ::read(file.number(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      return std::unexpected(
          internal_error(fmt::format("{}: {}", path.string(), system_message(errno))));
    }
    if (count == 0) break;
    hash.update(std::span(piece).first(static_cast<std::size_t>(count)));
    done += static_cast<std::uint64_t>(count);
    const auto now = std::chrono::steady_clock::now();
    if (progress && now - last_report >= kProgressInterval) {
      progress(what, done, total);
      last_report = now;
    }
  }
  if (progress) progress(what, done, total);
  return hash.finish_hex();
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::uint64_t hash_bytes(std::span<const std::byte> bytes, std::uint64_t seed) {
  // Two odd constants with even bit counts. The hash so far is added again after each product, so
  // that an input word equal to a constant cannot erase what came before.
  constexpr std::uint64_t kFirst = 0xa0761d6478bd642fULL;
  constexpr std::uint64_t kSecond = 0xe7037ed1a0b428dbULL;
  std::uint64_t hash = fold(seed ^ kFirst, bytes.size() ^ kSecond);
  while (bytes.size() >= 16) {
    hash = std::rotl(hash, 29) + fold(load(bytes.data()) ^ kSecond, load(bytes.data() + 8) ^ hash);
    bytes = bytes.subspan(16);
  }
  std::array<std::byte, 16> tail{};
  if (!bytes.empty()) std::memcpy(tail.data(), bytes.data(), bytes.size());
  hash = std::rotl(hash, 29) + fold(load(tail.data()) ^ kSecond, load(tail.data() + 8) ^ hash);
  return fold(hash ^ kFirst, kSecond ^ (seed + bytes.size()));
}

}  // namespace onnxlocal
