#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "attention/attention.h"
#include "graph/graph.h"
#include "rows/rows.h"

namespace onnxlocal::ep {

// A program: few kinds of instructions over rows of floats. Everything is an index into one of the
// program's tables; kNone stands for "not there".
using Index = std::int32_t;
inline constexpr Index kNone = -1;

/// How many rows there are and how ONNX sees them: the dimensions before the last.
struct Space {
  enum class Kind {
    kOfIntegers,  ///< The dimensions of `integers`: one row for each token number.
    kOfInput,     ///< The dimensions of input `input` but its last: `axis` of them.
    kSelected,    ///< `of` with dimension `axis` replaced by the dimensions of `integers`.
    kInserted,    ///< `of` with a 1 before dimension `axis`. The same rows.
    kRemoved,     ///< `of` without dimension `axis`, which is 1. The same rows.
    kFlat,        ///< One dimension. The same rows.
    kBatched,     ///< `of` as [1, rows]. The same rows.
  };
  Kind kind = Kind::kOfIntegers;
  Index of = kNone;
  Index integers = kNone;
  Index input = kNone;
  std::int64_t axis = 0;
  bool operator==(const Space&) const = default;
};

/// Memory for rows: floats, or activations in 8 bits. Where it lies is known when a run knows its
/// rows.
struct Buffer {
  std::uint32_t width = 0;
  Index space = kNone;
  std::uint8_t terms = 0;  ///< Of activations in 8 bits (QuantizedRows); 0 for floats.
  Index output = kNone;    ///< The run's output that this memory is, if any.
  Index slot = kNone;      ///< Which piece of the scratch it takes (plan.h).
};

/// Columns [offset, offset + width) of a buffer.
struct View {
  Index buffer = kNone;
  std::uint32_t offset = 0;
  std::uint32_t width = 0;
  explicit operator bool() const { return buffer != kNone; }
  bool operator==(const View&) const = default;
};

/// One step on small integer tensors: lengths, positions, token numbers. Its index is its value's.
struct IntegerStep {
  enum class Kind {
    kInput,     ///< Input `input`, int32 or int64.
    kConstant,  ///< `numbers` of shape `dims`.
    kShape,     ///< The dimensions of `a`.
    kGather,    ///< Elements `b` of `a` [n].
    kSum,       ///< The sums over the last axis of `a`; `keeps_axis`: it stays as 1.
    kAdd,       ///< With one side of one element, or both of the same shape. As the next four.
    kSubtract,
    kMultiply,
    kGreater,     ///< 1 where `a` is greater than `b`, else 0.
    kInsertAxis,  ///< `a` with a dimension 1 before `axis`.
    kRemoveAxis,  ///< `a` without dimension `axis`, which is 1.
  };
  Kind kind = Kind::kInput;
  Index a = kNone;
  Index b = kNone;
  Index input = kNone;
  std::int64_t axis = 0;
  std::size_t rank = 0;  ///< Of an input: its number of dimensions.
  bool keeps_axis = false;
  std::vector<std::int64_t> numbers = {};
  std::vector<std::int64_t> dims = {};
};

/// How the rows of a run are cut into sequences.
struct Sequences {
  bool is_paged = false;
  Index space = kNone;   ///< Of the rows: [1, rows] when paged, else [batch, rows of each].
  Index starts = kNone;  ///< Paged: the integers of PagedGroupQueryAttention's inputs 4 to 6.
  Index past = kNone;
  Index table = kNone;
  Index lengths = kNone;  ///< Else: GroupQueryAttention's seqlens_k
  Index total = kNone;    ///< and total_sequence_length.
  bool operator==(const Sequences&) const = default;
};

/// Rows of cosines and sines, one for each position.
struct RotaryTables {
  Index cos = kNone;  ///< Vectors.
  Index sin = kNone;
  std::uint32_t positions = 0;
};

/// Rotary positions by tables whose rows are `half` numbers.
struct Rotary {
  RotaryTables tables;
  /// Where these integers are 0 in a run, the other tables count: models of a long context rotate
  /// in another way beyond a number of tokens. kNone: never.
  Index condition = kNone;
  RotaryTables otherwise;
  std::uint32_t half = 0;
  bool is_interleaved = false;
  explicit operator bool() const { return tables.cos != kNone; }
};

struct Attention {
  AttentionShape shape;
  Rotary rotary;
  Index q_norm = kNone;  ///< Vectors: each head is normed before it is rotated.
  Index k_norm = kNone;
  float norm_epsilon = 0;
  Index sequences = kNone;
  Index pages = kNone;  ///< Of Program::page_caches; kNone: the caches below.
  std::uint32_t layer = 0;
  // GroupQueryAttention's caches: [batch, kv_heads, capacity, head_dim].
  Index past_key = kNone;  ///< Inputs, both or none.
  Index past_value = kNone;
  Index present_key = kNone;  ///< Outputs.
  Index present_value = kNone;
  ElementType cache_type = ElementType::kFloat32;
};

/// A paged cache that layers write in place, one after the other.
struct PageCache {
  Index input = kNone;
  Index output = kNone;
  std::uint32_t layers = 0;
  std::size_t layer_bytes = 0;
};

enum class Op {
  kEmbed,           ///< out = rows `integers` of a matrix or a table, times `number`
  kLoad,            ///< out = input `input`
  kNorm,            ///< out = rms_norm(a) for each `group` columns, weight `vector`
  kAddNorm,         ///< sum = a + b; out = rms_norm(sum)
  kLayerNorm,       ///< out = layer_norm(a), weight `vector`, bias `vector_b`
  kQuantize,        ///< out = a in 8 bits
  kProduct,         ///< out = a (quantized) times `matrix`, plus bias `vector`
  kGatedProduct,    ///< out = activation(a times matrix) * (a times matrix_b)
  kGate,            ///< out = activation(a) * b
  kAdd,             ///< out = a + b
  kMultiply,        ///< out = a * b
  kAddVector,       ///< out = a + `vector`
  kMultiplyVector,  ///< out = a * `vector`
  kScale,           ///< out = a * number
  kActivate,        ///< out = activation(a)
  kSigmoid,         ///< Between lowering and fusing alone.
  kSoftcap,         ///< out = number * tanh(a / number)
  kRotate,          ///< out = a rotated: heads of `group` columns at positions `integers`
  kGather,          ///< out = rows of a, as its space says
  kAttention,       ///< out = attention of a (queries), b (keys), c (values)
  kStore,           ///< output `output` = a, in that output's type
};
inline constexpr std::size_t kOps = static_cast<std::size_t>(Op::kStore) + 1;

struct Instruction {
  Op op = Op::kAdd;
  View a = {}, b = {}, c = {};
  View out = {}, sum = {};
  View quantized = {};  ///< kNorm, kAddNorm: `out` in 8 bits too.
  Index matrix = kNone, matrix_b = kNone;
  std::uint32_t matrix_row = 0, matrix_b_row = 0;  ///< Multiples of a group's rows.
  Index vector = kNone, vector_b = kNone;
  Index table = kNone;  ///< kEmbed: of floats, where it is no matrix.
  Index integers = kNone;
  Index attention = kNone;
  Index rotary = kNone;
  Index input = kNone, output = kNone;
  std::uint32_t group = 0;
  float number = 0;  ///< Epsilon, factor or cap.
  Activation activation = Activation::kSilu;
};

/// A quantized matrix's constants, as MatMulNBits and GatherBlockQuantized have them.
struct MatrixConstants {
  std::string name;  ///< Of the quants.
  Constant quants, scales;
  std::optional<Constant> zeros;
  std::uint32_t rows = 0, columns = 0, block = 0;
  std::uint8_t bits = 0;
};

struct NamedConstant {
  std::string name;
  Constant constant;
};

struct Program {
  std::vector<Instruction> instructions;
  std::vector<Buffer> buffers;
  std::vector<Space> spaces;
  std::vector<IntegerStep> integers;
  std::vector<Sequences> sequences;
  std::vector<Attention> attentions;
  std::vector<Rotary> rotaries;
  std::vector<PageCache> page_caches;
  // Constants, borrowed from the graph until they are loaded (weights.h).
  std::vector<MatrixConstants> matrices;
  std::vector<NamedConstant> vectors;  ///< Floats that are kept as float32.
  std::vector<NamedConstant> tables;   ///< Embeddings [tokens, width], kept as they are.
  std::vector<std::uint32_t> table_widths;
  // The border. An output is rows of a space, or a cache (space kNone).
  std::vector<std::string> inputs;
  std::vector<ElementType> input_types;
  std::vector<std::string> outputs;
  std::vector<ElementType> output_types;
  std::vector<Index> output_spaces;
  std::vector<std::uint32_t> output_widths;
};

}  // namespace onnxlocal::ep
