#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/progress.h"
#include "base/result.h"

namespace onnxlocal {

/// SHA-256 (FIPS 180-4) over bytes that come in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::span<const std::byte> bytes);
  /// 64 lower-case hexadecimal digits. Call once, last.
  std::string finish_hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::span<const std::byte> bytes);
/// Reads the file in pieces. Errors: not_found, cancelled, internal.
Result<std::string> sha256_file(const std::filesystem::path& path, const std::stop_token& stop = {},
                                const ProgressSink& progress = {});

/// True where both are the same. How long that takes depends on their lengths alone, so that it
/// tells nothing of a secret.
bool equal_in_constant_time(std::string_view a, std::string_view b);

/// A fast 64-bit hash for tables in memory (not for files or secrets).
std::uint64_t hash_bytes(std::span<const std::byte> bytes, std::uint64_t seed);

/// XXH64 (Collet, specification 0.2.0): tells damaged bytes from whole ones, the same on every
/// machine. For files; not against somebody who means harm.
std::uint64_t xxh64(std::span<const std::byte> bytes, std::uint64_t seed = 0);

}  // namespace onnxlocal
