#include <utility>

#include "base/check.h"
#include "text/native.h"
#include "text/tokenizer.h"
#include "text/tokenizer_native.h"

namespace onnxlocal {

/// The native stream keeps what it needs of its tokenizer alive.
struct TokenStream::State {
  native::StreamHandle handle;
};

TokenStream::TokenStream(std::unique_ptr<State> state) : state_(std::move(state)) {}
TokenStream::~TokenStream() = default;
TokenStream::TokenStream(TokenStream&&) noexcept = default;
TokenStream& TokenStream::operator=(TokenStream&&) noexcept = default;

TokenStream Tokenizer::stream() const {
  native::StreamHandle handle(onnxlocal_stream_new(native_->handle.get()));
  CHECK(handle != nullptr);
  return TokenStream(std::make_unique<TokenStream::State>(TokenStream::State{std::move(handle)}));
}

Result<std::string> TokenStream::push(TokenId token) {
  onnxlocal_slice text{};
  char* error = nullptr;
  const auto status =
      onnxlocal_stream_push(state_->handle.get(), static_cast<std::uint32_t>(token), &text, &error);
  if (status != ONNXLOCAL_TEXT_OK) {
    return std::unexpected(native::take_error(status, error));
  }
  return std::string(native::view(text));
}

Result<std::string> TokenStream::push_visible(TokenId token) {
  onnxlocal_slice text{};
  char* error = nullptr;
  const auto status = onnxlocal_stream_push_visible(
      state_->handle.get(), static_cast<std::uint32_t>(token), &text, &error);
  if (status != ONNXLOCAL_TEXT_OK) {
    return std::unexpected(native::take_error(status, error));
  }
  return std::string(native::view(text));
}

Result<std::string> TokenStream::finish() {
  onnxlocal_slice text{};
  char* error = nullptr;
  const auto status = onnxlocal_stream_finish(state_->handle.get(), &text, &error);
  if (status != ONNXLOCAL_TEXT_OK) {
    return std::unexpected(native::take_error(status, error));
  }
  return std::string(native::view(text));
}

}  // namespace onnxlocal
