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

/// Sizes of a paged cache: bf16 keys and values of all layers, a layer's after the other's.
struct PageGeometry {
  std::uint32_t layers = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;

  std::size_t token_bytes() const {
    constexpr std::size_t kKeyAndValue = 2;
    constexpr std::size_t kBf16Bytes = 2;
    return kKeyAndValue * kBf16Bytes * layers * kv_heads * head_dim;
  }
  std::size_t page_bytes() const { return kPageTokens * token_bytes(); }
};

}  // namespace onnxlocal
