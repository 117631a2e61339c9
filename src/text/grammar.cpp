#include "text/grammar.h"

#include <utility>

#include "text/native.h"
#include "text/tokenizer_native.h"

namespace onnxlocal {
namespace {

using CompileFunction = decltype(onnxlocal_grammar_from_lark);

Result<native::GrammarHandle> compile(const Tokenizer& tokenizer, std::string_view text,
                                      CompileFunction& function) {
  onnxlocal_grammar* compiled = nullptr;
  char* error = nullptr;
  const auto status =
      function(tokenizer.native().handle.get(), native::slice(text), &compiled, &error);
  if (status != ONNXLOCAL_TEXT_OK) {
    return std::unexpected(native::take_error(status, error));
  }
  return native::GrammarHandle(compiled);
}

}  // namespace

struct Grammar::State {
  native::GrammarHandle handle;
};

struct GrammarMatcher::State {
  native::MatcherHandle handle;
};

Grammar::Grammar(std::unique_ptr<State> state) : state_(std::move(state)) {}
Grammar::~Grammar() = default;

Result<std::shared_ptr<const Grammar>> Grammar::from_json_schema(const Tokenizer& tokenizer,
                                                                 std::string_view schema) {
  TRY(auto handle, compile(tokenizer, schema, onnxlocal_grammar_from_json_schema));
  auto state = std::make_unique<State>(State{std::move(handle)});
  return std::shared_ptr<const Grammar>(new Grammar(std::move(state)));
}

Result<std::shared_ptr<const Grammar>> Grammar::from_lark(const Tokenizer& tokenizer,
                                                          std::string_view lark) {
  TRY(auto handle, compile(tokenizer, lark, onnxlocal_grammar_from_lark));
  auto state = std::make_unique<State>(State{std::move(handle)});
  return std::shared_ptr<const Grammar>(new Grammar(std::move(state)));
}

std::size_t Grammar::size_bytes() const {
  return onnxlocal_grammar_size_bytes(state_->handle.get());
}

Result<GrammarMatcher> Grammar::match() const {
  onnxlocal_matcher* matcher = nullptr;
  char* error = nullptr;
  const auto status = onnxlocal_matcher_new(state_->handle.get(), &matcher, &error);
  if (status != ONNXLOCAL_TEXT_OK) {
    return std::unexpected(native::take_error(status, error));
  }
  return GrammarMatcher(std::make_unique<GrammarMatcher::State>(
      GrammarMatcher::State{native::MatcherHandle(matcher)}));
}

GrammarMatcher::GrammarMatcher(std::unique_ptr<State> state) : state_(std::move(state)) {}
GrammarMatcher::~GrammarMatcher() = default;
GrammarMatcher::GrammarMatcher(GrammarMatcher&&) noexcept = default;
GrammarMatcher& GrammarMatcher::operator=(GrammarMatcher&&) noexcept = default;

Result<std::vector<std::uint32_t>> GrammarMatcher::mask() {
  std::vector<std::uint32_t> words(onnxlocal_matcher_mask_words(state_->handle.get()));
  char* error = nullptr;
  const auto status = onnxlocal_matcher_mask(state_->handle.get(), words.data(), &error);
  if (status != ONNXLOCAL_TEXT_OK) {
    return std::unexpected(native::take_error(status, error));
  }
  return words;
}

Result<void> GrammarMatcher::commit(TokenId token) {
  char* error = nullptr;
  const auto status =
      onnxlocal_matcher_commit(state_->handle.get(), static_cast<std::uint32_t>(token), &error);
  if (status != ONNXLOCAL_TEXT_OK) {
    return std::unexpected(native::take_error(status, error));
  }
  return {};
}

Result<void> GrammarMatcher::rollback(std::uint32_t count) {
  char* error = nullptr;
  const auto status = onnxlocal_matcher_rollback(state_->handle.get(), count, &error);
  if (status != ONNXLOCAL_TEXT_OK) {
    return std::unexpected(native::take_error(status, error));
  }
  return {};
}

bool GrammarMatcher::is_accepting() { return onnxlocal_matcher_is_accepting(state_->handle.get()); }

}  // namespace onnxlocal
