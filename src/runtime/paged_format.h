#pragma once

#include <cstddef>
#include <cstdint>

/// What a paged graph and the execution provider in ep/ agree on. src/ and ep/ include nothing of
/// each other, so it is written twice, here and in ep/plugin/names.h and ep/attention/attention.h;
/// paged_format_test.cpp holds the two together.
namespace onnxlocal {

/// The provider's name, as a session shows it, and its short name in our options.
inline constexpr const char* kOwnProviderName = "OnnxLocalExecutionProvider";
inline constexpr const char* kOwnProviderShortName = "onnx-local";
inline constexpr const char* kOwnProviderLibrary = "libonnxlocal_ep.so";

inline constexpr const char* kPagedDomain = "onnxlocal";
inline constexpr const char* kPagedAttentionOp = "PagedGroupQueryAttention";

/// Options of the provider that we set.
inline constexpr const char* kThreadsOption = "threads";
inline constexpr const char* kPackedFileOption = "packed_file";
inline constexpr const char* kProfileOption = "profile";
/// And what the user may.
inline constexpr const char* kIsaOption = "isa";

/// What its device's metadata say: the instruction set of a session that names none, and all that
/// the machine has, slowest first, commas between them.
inline constexpr const char* kIsaMetadata = "isa";
inline constexpr const char* kIsasMetadata = "isas";

/// Tokens of a page, the unit of sharing.
inline constexpr std::uint32_t kPageTokens = 32;
/// How a page's bytes are laid out and rounded; a new number where that changes, so that no block
/// of the old form is taken for one of the new.
inline constexpr std::uint32_t kPageLayoutVersion = 1;

/// How pages hold keys and values; the operator has it as the attribute kv_bits. Int8: each token's
/// key and value of a head with a scale of their own.
enum class KvCacheType : std::uint8_t { kBf16, kInt8 };

/// Sizes of a paged cache: keys and values of all layers, a layer's after the other's.
struct PageGeometry {
  std::uint32_t layers = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  KvCacheType type = KvCacheType::kBf16;

  std::size_t token_bytes() const {
    constexpr std::size_t kKeyAndValue = 2;
    constexpr std::size_t kBf16Bytes = 2;
    constexpr std::size_t kScaleBytes = 4;
    const std::size_t vector_bytes =
        type == KvCacheType::kInt8 ? head_dim + kScaleBytes : head_dim * kBf16Bytes;
    return kKeyAndValue * vector_bytes * layers * kv_heads;
  }
  std::size_t page_bytes() const { return kPageTokens * token_bytes(); }
};

}  // namespace onnxlocal
