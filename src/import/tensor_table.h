#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "import/gguf_reader.h"

namespace onnxlocal {

/// The tensors of a GGUF file as an architecture asks for them: each by name and with the shape it
/// must have. Remembers what was taken, so that a tensor that nothing takes (the model computes
/// something we would leave out) is an error. Borrows the file. One thread.
class TensorTable {
 public:
  explicit TensorTable(const GgufFile& file) : file_(file) {}

  /// `rows` rows of `columns` values each, of a type we read.
  /// Errors: model_corrupt (missing; another shape: expected and found), unsupported (type).
  Result<const GgufTensor*> matrix(const std::string& name, std::uint64_t columns,
                                   std::uint64_t rows);
  /// `size` values as float32. Errors: as above.
  Result<std::vector<float>> vector(const std::string& name, std::uint64_t size);
  /// The same, empty where the file has none by that name.
  Result<std::optional<std::vector<float>>> find_vector(const std::string& name,
                                                        std::uint64_t size);

  bool has(std::string_view name) const { return file_.find_tensor(name) != nullptr; }

  /// Errors: unsupported, naming a tensor that was not taken.
  Result<void> check_all_taken() const;

 private:
  Result<const GgufTensor*> take(const std::string& name, std::vector<std::uint64_t> shape);

  const GgufFile& file_;
  std::set<std::string, std::less<>> taken_;
};

}  // namespace onnxlocal
