#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace onnxlocal::json {

/// A part of a JSON text, as it was written: Boost.JSON's values know neither how a number was
/// spelled nor where a value stood. Borrows the text. Made for text that `parse` took; of other
/// text the parts are slices too, but which ones is not said.
class TextView {
 public:
  explicit TextView(std::string_view text);

  /// Without the white space around it.
  std::string_view text() const { return text_; }

  /// An object's member; the last one where the name is there twice, as in `parse`. Empty where
  /// there is none, or this is no object. Takes time in the length of the text.
  std::optional<TextView> member(std::string_view name) const;

  /// An array's elements; none where this is no array.
  std::vector<TextView> elements() const;

 private:
  std::string_view text_;
};

/// The same JSON without white space between its tokens, each string in its shortest spelling; key
/// order and the spelling of numbers stay. For text that `parse` took.
std::string compact(std::string_view text);

}  // namespace onnxlocal::json
