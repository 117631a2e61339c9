#include "import/pre_tokenizers.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace onnxlocal {

namespace {

// The patterns follow llama.cpp's `llm_tokenizer_bpe` (src/llama-vocab.cpp), which spells out what
// std::regex lacks; where its comment gives the model's own pattern, that one stands here. A final
// `|\s+` is what its hand-written splitters do with the white space that is left.
#define ONNXLOCAL_SUFFIXES "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define ONNXLOCAL_SPACES R"(\s*[\r\n]+|\s+(?!\S)|\s+)"

constexpr std::string_view kGpt2Words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

constexpr std::array kGpt2 = {kGpt2Words};
constexpr std::array<std::string_view, 2> kSingleDigits = {R"(\p{N})", kGpt2Words};
constexpr std::array<std::string_view, 1> kLlama3 = {
    ONNXLOCAL_SUFFIXES
    R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" ONNXLOCAL_SPACES};
constexpr std::array<std::string_view, 1> kQwen2 = {
    ONNXLOCAL_SUFFIXES
    R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" ONNXLOCAL_SPACES};
constexpr std::array<std::string_view, 1> kQwen35 = {
    ONNXLOCAL_SUFFIXES
    R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" ONNXLOCAL_SPACES};
constexpr std::array<std::string_view, 1> kTekken = {
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
    R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" ONNXLOCAL_SPACES};
constexpr std::array<std::string_view, 5> kDeepSeekCoder = {
    R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", "[一-龥ࠀ-一가-퟿]+", R"(\p{N})"};
constexpr std::array<std::string_view, 3> kDeepSeekV3 = {
    R"(\p{N}{1,3})", "[一-龥぀-ゟ゠-ヿ]+",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|)" ONNXLOCAL_SPACES};
constexpr std::array<std::string_view, 3> kFalcon = {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2Words,
                                                     "[0-9][0-9][0-9]"};
constexpr std::array<std::string_view, 4> kDefault = {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2Words,
                                                      R"(\p{N}+)", "[0-9][0-9][0-9]"};

#undef ONNXLOCAL_SUFFIXES
#undef ONNXLOCAL_SPACES

constexpr auto kPreTokenizers = std::to_array<PreTokenizer>({
    {.name = "default", .patterns = kDefault},
    {.name = "gpt-2", .patterns = kGpt2},
    {.name = "phi-2", .patterns = kGpt2},
    {.name = "mpt", .patterns = kGpt2},
    {.name = "olmo", .patterns = kGpt2},
    {.name = "jais", .patterns = kGpt2},
    {.name = "trillion", .patterns = kGpt2},
    {.name = "granite-docling", .patterns = kGpt2},
    {.name = "exaone4", .patterns = kGpt2},
    {.name = "gigachat", .patterns = kGpt2},
    {.name = "mellum", .patterns = kGpt2},
    {.name = "smollm", .patterns = kSingleDigits},
    {.name = "starcoder", .patterns = kSingleDigits},
    {.name = "refact", .patterns = kSingleDigits},
    {.name = "command-r", .patterns = kSingleDigits},
    {.name = "codeshell", .patterns = kSingleDigits},
    {.name = "exaone", .patterns = kSingleDigits},
    {.name = "minerva-7b", .patterns = kSingleDigits},
    {.name = "llama-bpe", .patterns = kLlama3, .ignores_merges = true, .adds_bos = true},
    {.name = "llama3", .patterns = kLlama3, .ignores_merges = true, .adds_bos = true},
    {.name = "llama-v3", .patterns = kLlama3, .ignores_merges = true, .adds_bos = true},
    {.name = "falcon3", .patterns = kLlama3, .ignores_merges = true, .adds_bos = true},
    {.name = "falcon-h1", .patterns = kLlama3, .ignores_merges = true, .adds_bos = true},
    {.name = "pixtral", .patterns = kLlama3, .ignores_merges = true, .adds_bos = true},
    {.name = "midm-2.0", .patterns = kLlama3, .ignores_merges = true, .adds_bos = true},
    {.name = "lfm2", .patterns = kLlama3, .ignores_merges = true, .adds_bos = true},
    {.name = "glm4", .patterns = kLlama3, .ignores_merges = true},
    {.name = "dbrx", .patterns = kLlama3},
    {.name = "smaug-bpe", .patterns = kLlama3},
    {.name = "chatglm-bpe", .patterns = kLlama3},
    {.name = "qwen2", .patterns = kQwen2},
    {.name = "deepseek-r1-qwen", .patterns = kQwen2},
    {.name = "stablelm2", .patterns = kQwen2},
    {.name = "megrez", .patterns = kQwen2},
    {.name = "hunyuan", .patterns = kQwen2},
    {.name = "solar-open", .patterns = kQwen2},
    {.name = "qwen35", .patterns = kQwen35},
    {.name = "tekken", .patterns = kTekken, .ignores_merges = true, .adds_bos = true},
    {.name = "deepseek-coder", .patterns = kDeepSeekCoder},
    {.name = "deepseek-v3", .patterns = kDeepSeekV3},
    {.name = "falcon", .patterns = kFalcon},
});

}  // namespace

Result<PreTokenizer> find_pre_tokenizer(std::string_view name) {
  if (name.empty()) name = "default";
  const auto* found = std::ranges::find(kPreTokenizers, name, &PreTokenizer::name);
  if (found != kPreTokenizers.end()) return *found;
  std::array<std::string_view, kPreTokenizers.size()> known;
  std::ranges::transform(kPreTokenizers, known.begin(), &PreTokenizer::name);
  return std::unexpected(
      unsupported(fmt::format("pre-tokenizer '{}' (tokenizer.ggml.pre): expected one of {}",
                              name.substr(0, 64), fmt::join(known, ", ")),
                  "use a model with one of these, or one whose folder has a tokenizer.json"));
}

}  // namespace onnxlocal
