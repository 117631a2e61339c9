#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "onnxlocal_text.h"

/// Between the C++ faces and the C ABI of `crates/text`. For this folder alone.
namespace onnxlocal::native {

/// Frees a handle of the crate.
template <auto kFree>
struct Deleter {
  template <class Handle>
  void operator()(Handle* handle) const {
    kFree(handle);
  }
};
template <class Handle, auto kFree>
using Owned = std::unique_ptr<Handle, Deleter<kFree>>;

using TokenizerHandle = Owned<onnxlocal_tokenizer, onnxlocal_tokenizer_free>;
using StreamHandle = Owned<onnxlocal_stream, onnxlocal_stream_free>;
using TemplateHandle = Owned<onnxlocal_template, onnxlocal_template_free>;
using GrammarHandle = Owned<onnxlocal_grammar, onnxlocal_grammar_free>;
using MatcherHandle = Owned<onnxlocal_matcher, onnxlocal_matcher_free>;

inline onnxlocal_slice slice(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view view(onnxlocal_slice slice) { return {slice.data, slice.size}; }

/// The error of a failed call; takes over and frees `message`.
Error take_error(std::int32_t status, char* message);

}  // namespace onnxlocal::native
