#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "import/gguf_reader.h"
#include "import/graph_builder.h"
#include "import/quantize.h"

namespace onnxlocal {

/// How a head's rows lie in the file, for matrices whose product is rotated by position.
enum class RowOrder {
  kHalves,       ///< Rotation pairs row i with row i + head_dim / 2: ours, and Hugging Face's.
  kInterleaved,  ///< Rotation pairs rows 2i and 2i + 1: what llama.cpp's converter makes of
                 ///< "llama".
};

/// A matrix of a GGUF file as one of those stacked in a `WeightMatrix`.
struct MatrixPart {
  const GgufTensor* tensor = nullptr;  ///< Of shape {columns, rows}. Borrowed.
  RowOrder order = RowOrder::kHalves;
  std::uint32_t heads = 1;  ///< Divides the rows; of interest where the order is kInterleaved.
};

/// The file's row that becomes row `row` of ours. `head_dim` is even.
std::uint64_t source_row(RowOrder order, std::uint64_t head_dim, std::uint64_t row);

/// Matrices of one type and width, stacked by rows: [rows, columns]. Each row is quantized by
/// itself, so stacking and reordering rows change no value. Keeps views of the GGUF file.
class WeightMatrix {
 public:
  /// REQUIRES: at least one part; all of the same type and columns; columns are whole blocks.
  explicit WeightMatrix(std::vector<MatrixPart> parts);

  std::uint64_t columns() const { return columns_; }
  std::uint64_t rows() const { return rows_; }
  const WeightLayout& layout() const { return layout_; }

  /// `input` [.., columns] times the transposed matrix: `output` [.., rows].
  ///   quantized:  com.microsoft.MatMulNBits, B [rows, columns/32, 16 or 32], accuracy level 4
  ///   float:      com.microsoft.FusedMatMul with transB, B [rows, columns] float32
  ValueName add_product(GraphBuilder& graph, const ValueName& input, const ValueName& output) const;
  /// `ids` [..] int64 to `output` [.., columns]: GatherBlockQuantized, or Gather for floats. Makes
  /// `add_product_of_table` possible afterwards.
  ValueName add_lookup(GraphBuilder& graph, const ValueName& ids, const ValueName& output) const;
  /// `add_product` with the table that `add_lookup` put into the same graph: its bytes are shared
  /// where the layouts allow it.
  ValueName add_product_of_table(GraphBuilder& graph, const ValueName& input,
                                 const ValueName& output) const;

 private:
  enum class Plane { kQuants, kScales, kZeroPoints, kFloats };

  std::string add_plane(GraphBuilder& graph, Plane plane, std::vector<std::int64_t> dims) const;
  std::uint64_t plane_row_bytes(Plane plane) const;
  ByteSource plane_source(Plane plane) const;
  std::string plane_name(Plane plane) const;
  ValueName product_node(GraphBuilder& graph, std::vector<ValueName> inputs,
                         const ValueName& output) const;
  bool table_is_float() const;

  std::vector<MatrixPart> parts_;
  std::string name_;
  std::uint64_t columns_ = 0;
  std::uint64_t rows_ = 0;
  WeightLayout layout_;
};

}  // namespace onnxlocal
