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

namespace {

constexpr std::uint64_t kPrime1 = 0x9E3779B185EBCA87ULL;
constexpr std::uint64_t kPrime2 = 0xC2B2AE3D27D4EB4FULL;
constexpr std::uint64_t kPrime3 = 0x165667B19E3779F9ULL;
constexpr std::uint64_t kPrime4 = 0x85EBCA77C2B2AE63ULL;
constexpr std::uint64_t kPrime5 = 0x27D4EB2F165667C5ULL;
constexpr std::size_t kLanes = 4;
constexpr std::size_t kStripeBytes = kLanes * sizeof(std::uint64_t);

template <class Word>
Word load_little_endian(const std::byte* bytes) {
  Word word = 0;
  std::memcpy(&word, bytes, sizeof(word));
  if constexpr (std::endian::native == std::endian::big) word = std::byteswap(word);
  return word;
}

std::uint64_t xxh64_round(std::uint64_t lane, std::uint64_t input) {
  return std::rotl(lane + input * kPrime2, 31) * kPrime1;
}

std::uint64_t xxh64_stripes(std::span<const std::byte>& bytes, std::uint64_t seed) {
  std::array<std::uint64_t, kLanes> lanes = {seed + kPrime1 + kPrime2, seed + kPrime2, seed,
                                             seed - kPrime1};
  for (; bytes.size() >= kStripeBytes; bytes = bytes.subspan(kStripeBytes)) {
    for (std::size_t i = 0; i < kLanes; ++i) {
      const std::byte* input = bytes.data() + i * sizeof(std::uint64_t);
      lanes[i] = xxh64_round(lanes[i], load_little_endian<std::uint64_t>(input));
    }
  }
  std::uint64_t hash = std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) +
                       std::rotl(lanes[3], 18);
  for (const std::uint64_t lane : lanes) {
    hash = (hash ^ xxh64_round(0, lane)) * kPrime1 + kPrime4;
  }
  return hash;
}

}  // namespace

std::uint64_t xxh64(std::span<const std::byte> bytes, std::uint64_t seed) {
  const std::uint64_t size = bytes.size();
  std::uint64_t hash = seed + kPrime5;
  if (bytes.size() >= kStripeBytes) hash = xxh64_stripes(bytes, seed);
  hash += size;
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
    hash ^= xxh64_round(0, load_little_endian<std::uint64_t>(bytes.data()));
    hash = std::rotl(hash, 27) * kPrime1 + kPrime4;
  }
  if (bytes.size() >= 4) {
    hash ^= std::uint64_t{load_little_endian<std::uint32_t>(bytes.data())} * kPrime1;
    hash = std::rotl(hash, 23) * kPrime2 + kPrime3;
    bytes = bytes.subspan(4);
  }
  for (const std::byte byte : bytes) {
    hash ^= std::to_integer<std::uint64_t>(byte) * kPrime5;
    hash = std::rotl(hash, 11) * kPrime1;
  }
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

}  // namespace onnxlocal
