#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/constant_bytes.h"
#include "matrix/matrix_format.h"
#include "matrix/packed_file.h"
#include "program/compiled_program.h"
#include "program/instruction.h"

namespace onnxlocal::ep {

/// A table of embeddings as the graph has it.
struct EmbeddingTable {
  ElementType type = ElementType::kFloat32;  ///< Or kFloat16.
  std::size_t rows = 0;
  std::size_t width = 0;
  const std::byte* bytes = nullptr;
};

/// All constants of a program in the form that its kernels read: packed matrices, float32 vectors,
/// tables. Large float32 constants of external files stay mapped; all else is a copy, so that the
/// graph is needed no longer. Immutable once loaded; any thread.
class Weights {
 public:
  /// Loads what the program names and then forgets the program's borrowed constants. Matrices of
  /// one content are packed once. Peak memory: sources are dropped as soon as they are packed.
  static std::expected<Weights, std::string> load(Program& program,
                                                  const ProgramEnvironment& environment);

  PackedMatrix matrix(Index index) const;
  const float* vector(Index index) const {
    return vectors_[static_cast<std::size_t>(index)].data();
  }
  const EmbeddingTable& table(Index index) const {
    return tables_[static_cast<std::size_t>(index)];
  }

 private:
  struct Packing;
  std::string load_matrices(Program& program, const ProgramEnvironment& environment);
  std::string load_vector(const NamedConstant& constant);
  std::string load_table(const NamedConstant& constant);
  std::expected<MatrixSource, std::string> source_of(const MatrixConstants& constants);
  void share_embeddings(Program& program, const std::vector<MatrixSource>& sources);
  std::string keep_packed(const ProgramEnvironment& environment, const Packing& packing);

  ConstantBytes files_;
  std::vector<PackedEntry> entries_;
  std::vector<std::size_t> entry_of_;  ///< For each of the program's matrices.
  std::unique_ptr<PackedFile> packed_;
  std::vector<std::span<const float>> vectors_;
  std::vector<EmbeddingTable> tables_;
  std::vector<std::unique_ptr<float[]>> own_floats_;
  std::vector<std::vector<std::byte>> own_bytes_;
};

}  // namespace onnxlocal::ep
