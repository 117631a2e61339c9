#pragma once

#include <cstdint>

/// What a GGUF file may hold. The format allows far more; nothing real comes near, and a hostile
/// file is refused before it costs memory or time.
namespace onnxlocal::gguf_limits {

/// Real files have 20 to 60 keys.
inline constexpr std::uint64_t kMetadataKeysMax = 65'536;
/// The format's own limit on a key (docs/gguf.md of ggml: 2^16 - 1 bytes).
inline constexpr std::uint64_t kKeyBytesMax = 65'535;
/// Chat templates, the longest strings there are, take tens of kilobytes.
inline constexpr std::uint64_t kStringBytesMax = std::uint64_t{16} << 20;
/// The largest mixture-of-experts models have some thousands.
inline constexpr std::uint64_t kTensorsMax = 65'536;
/// ggml's GGML_MAX_NAME is 64 with the final zero.
inline constexpr std::uint64_t kTensorNameBytesMax = 63;
/// ggml's GGML_MAX_DIMS.
inline constexpr std::uint32_t kDimensionsMax = 4;
/// Default 32; files aligned to a page or a huge page exist.
inline constexpr std::uint32_t kAlignmentMax = std::uint32_t{1} << 21;
inline constexpr std::uint32_t kAlignmentDefault = 32;
/// The largest vocabularies have about 260,000 tokens; several times that still fits.
inline constexpr std::uint64_t kVocabularyMax = std::uint64_t{1} << 21;
/// The longest tokens of real vocabularies are runs of some hundred spaces or dashes. The work to
/// make merges from scores grows with its square.
inline constexpr std::uint64_t kTokenBytesMax = 1024;

}  // namespace onnxlocal::gguf_limits
