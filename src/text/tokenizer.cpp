#include "text/tokenizer.h"

#include <utility>

#include "base/file_system.h"
#include "text/native.h"
#include "text/tokenizer_native.h"

namespace onnxlocal {
namespace {

/// The largest ones known (250,000 tokens, merges spelled out) are about 35 MB.
constexpr std::size_t kFileBytesMax = std::size_t{256} << 20;

}  // namespace

std::vector<TokenId> take_tokens(onnxlocal_tokens tokens) {
  std::vector<TokenId> result(tokens.data, tokens.data + tokens.size);
  onnxlocal_tokens_free(tokens);
  return result;
}

Tokenizer::Tokenizer(std::unique_ptr<Native> native) : native_(std::move(native)) {}
Tokenizer::~Tokenizer() = default;

Result<std::shared_ptr<const Tokenizer>> Tokenizer::load(const std::filesystem::path& file) {
  TRY(const auto json, read_text_file(file, kFileBytesMax));
  auto tokenizer = from_json(json);
  if (!tokenizer) {
    return std::unexpected(with_context(file.string(), std::move(tokenizer).error()));
  }
  return tokenizer;
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_json(std::string_view json) {
  onnxlocal_tokenizer* loaded = nullptr;
  char* error = nullptr;
  const auto status = onnxlocal_tokenizer_load(native::slice(json), &loaded, &error);
  if (status != ONNXLOCAL_TEXT_OK) {
    return std::unexpected(native::take_error(status, error));
  }
  auto native = std::make_unique<Native>(native::TokenizerHandle(loaded));
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(native)));
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  onnxlocal_tokens tokens{};
  char* error = nullptr;
  const auto status =
      onnxlocal_tokenizer_encode(native_->handle.get(), native::slice(text),
                                 special == SpecialTokens::kParsed, &tokens, &error);
  if (status != ONNXLOCAL_TEXT_OK) {
    return std::unexpected(native::take_error(status, error));
  }
  return take_tokens(tokens);
}

Result<std::string> Tokenizer::decode(std::span<const TokenId> tokens) const {
  const std::vector<std::uint32_t> ids(tokens.begin(), tokens.end());
  onnxlocal_text text{};
  char* error = nullptr;
  const auto status =
      onnxlocal_tokenizer_decode(native_->handle.get(), ids.data(), ids.size(), &text, &error);
  if (status != ONNXLOCAL_TEXT_OK) {
    return std::unexpected(native::take_error(status, error));
  }
  std::string result(text.data, text.size);
  onnxlocal_text_free(text);
  return result;
}

std::size_t Tokenizer::vocabulary_size() const {
  return onnxlocal_tokenizer_vocabulary_size(native_->handle.get());
}

Result<TokenId> Tokenizer::token_id(std::string_view content) const {
  std::uint32_t token = 0;
  if (!onnxlocal_tokenizer_token_id(native_->handle.get(), native::slice(content), &token)) {
    return std::unexpected(not_found("no token is spelled " + std::string(content)));
  }
  return static_cast<TokenId>(token);
}

bool Tokenizer::is_special(TokenId token) const {
  return onnxlocal_tokenizer_is_special(native_->handle.get(), static_cast<std::uint32_t>(token));
}

}  // namespace onnxlocal
