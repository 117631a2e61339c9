#pragma once

#include <cstddef>
#include <cstdint>

/// What a model folder may say at most: far above every model there is, and small enough that a
/// hostile file cannot make us allocate what the machine does not have.
namespace onnxlocal {

inline constexpr std::uint64_t kVocabularyMax = std::uint64_t{1} << 24;
inline constexpr std::uint64_t kContextTokensMax = std::uint64_t{1} << 27;
inline constexpr std::uint64_t kLayersMax = 4096;
inline constexpr std::uint64_t kHeadsMax = 4096;
inline constexpr std::uint64_t kHeadDimMax = 8192;
inline constexpr std::uint64_t kHiddenSizeMax = std::uint64_t{1} << 20;

/// genai_config.json, config.json and manifest.json have some kilobytes.
inline constexpr std::size_t kConfigBytesMax = std::size_t{4} << 20;
/// tokenizer_config.json may list every added token.
inline constexpr std::size_t kTokenizerConfigBytesMax = std::size_t{32} << 20;
inline constexpr std::size_t kChatTemplateBytesMax = std::size_t{4} << 20;
/// Protobuf cannot hold more in one message.
inline constexpr std::size_t kOnnxFileBytesMax = (std::size_t{1} << 31) - 1;

}  // namespace onnxlocal
