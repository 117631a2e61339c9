#include "program/weights.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cpu/number_formats.h"
#include "graph/text.h"

namespace onnxlocal::ep {

namespace {

MatrixSource::Number number_of(ElementType type) {
  if (type == ElementType::kFloat16) return MatrixSource::Number::kFloat16;
  if (type == ElementType::kBfloat16) return MatrixSource::Number::kBfloat16;
  return MatrixSource::Number::kFloat32;
}

bool is_equal(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() &&
         (a.data() == b.data() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

/// Compares the small parts first: matrices of one shape mostly differ there.
bool is_equal(const MatrixSource& a, const MatrixSource& b) {
  return a.rows == b.rows && a.columns == b.columns && a.bits == b.bits && a.block == b.block &&
         a.scales_type == b.scales_type && is_equal(a.scales, b.scales) &&
         is_equal(a.integer_zeros, b.integer_zeros) && is_equal(a.float_zeros, b.float_zeros) &&
         is_equal(a.quants, b.quants);
}

}  // namespace

/// What packing needs to know of each entry.
struct Weights::Packing {
  ConstantBytes& files;
  Parallel& pool;
  std::vector<MatrixSource> sources;  ///< For each entry.
  std::vector<MatrixFormat> formats;

  static void pack(void* context, std::size_t index, std::span<std::byte> memory) {
    const auto& packing = *static_cast<const Packing*>(context);
    const auto& source = packing.sources[index];
    pack_matrix(source, packing.formats[index], memory, packing.pool);
    for (const auto bytes :
         {source.quants, source.scales, source.integer_zeros, source.float_zeros}) {
      packing.files.drop(bytes);
    }
  }
};

std::expected<Weights, std::string> Weights::load(Program& program,
                                                  const ProgramEnvironment& environment) {
  Weights weights;
  for (const auto& vector : program.vectors) {
    if (auto problem = weights.load_vector(vector); !problem.empty()) {
      return std::unexpected(std::move(problem));
    }
  }
  for (const auto& table : program.tables) {
    if (auto problem = weights.load_table(table); !problem.empty()) {
      return std::unexpected(std::move(problem));
    }
  }
  if (auto problem = weights.load_matrices(program, environment); !problem.empty()) {
    return std::unexpected(std::move(problem));
  }
  program.vectors.clear();
  program.tables.clear();
  program.matrices.clear();
  return weights;
}

PackedMatrix Weights::matrix(Index index) const {
  const auto entry = entry_of_[static_cast<std::size_t>(index)];
  return {.format = entries_[entry].format, .packed = packed_->matrix(entry)};
}

std::string Weights::load_vector(const NamedConstant& vector) {
  const auto bytes = files_.read(vector.constant, vector.name);
  if (!bytes) return bytes.error();
  const bool is_half = vector.constant.type == ElementType::kFloat16;
  const std::size_t count = bytes->size() / element_bytes(vector.constant.type);
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(bytes->data()) % alignof(float) == 0;
  if (vector.constant.place && !is_half && is_aligned) {
    vectors_.emplace_back(reinterpret_cast<const float*>(bytes->data()), count);
    return {};
  }
  auto& floats = own_floats_.emplace_back(std::make_unique<float[]>(count));
  for (std::size_t i = 0; i < count && is_half; ++i) {
    std::uint16_t half = 0;
    std::memcpy(&half, bytes->data() + i * sizeof half, sizeof half);
    floats[i] = from_f16(half);
  }
  if (!is_half && count > 0) std::memcpy(floats.get(), bytes->data(), bytes->size());
  vectors_.emplace_back(floats.get(), count);
  return {};
}

std::string Weights::load_table(const NamedConstant& table) {
  const auto bytes = files_.read(table.constant, table.name);
  if (!bytes) return bytes.error();
  EmbeddingTable made{.type = table.constant.type,
                      .rows = static_cast<std::size_t>(table.constant.dims[0]),
                      .width = static_cast<std::size_t>(table.constant.dims[1]),
                      .bytes = bytes->data()};
  if (!table.constant.place) {
    made.bytes = own_bytes_.emplace_back(bytes->begin(), bytes->end()).data();
  }
  tables_.push_back(made);
  return {};
}

std::expected<MatrixSource, std::string> Weights::source_of(const MatrixConstants& constants) {
  MatrixSource source{.rows = constants.rows,
                      .columns = constants.columns,
                      .bits = constants.bits,
                      .block = constants.block,
                      .quants = {},
                      .scales = {},
                      .scales_type = number_of(constants.scales.type),
                      .integer_zeros = {},
                      .float_zeros = {}};
  const auto quants = files_.read(constants.quants, constants.name);
  if (!quants) return std::unexpected(quants.error());
  const auto scales = files_.read(constants.scales, constants.name + " (scales)");
  if (!scales) return std::unexpected(scales.error());
  source.quants = *quants;
  source.scales = *scales;
  if (constants.zeros) {
    const auto zeros = files_.read(*constants.zeros, constants.name + " (zero points)");
    if (!zeros) return std::unexpected(zeros.error());
    const bool is_integer = constants.zeros->type == ElementType::kUint8;
    (is_integer ? source.integer_zeros : source.float_zeros) = *zeros;
  }
  if (const auto problem = check_source(source)) {
    return std::unexpected(text("the matrix '", constants.name, "': ", *problem));
  }
  return source;
}

/// ONNX Runtime may have folded a reshape of the output matrix into a copy of its own: an embedding
/// that equals another matrix byte by byte needs no second packed form.
void Weights::share_embeddings(Program& program, const std::vector<MatrixSource>& sources) {
  for (auto& instruction : program.instructions) {
    if (instruction.op != Op::kEmbed || instruction.matrix == kNone) continue;
    const auto embedding = static_cast<std::size_t>(instruction.matrix);
    for (std::size_t i = 0; i < sources.size(); ++i) {
      if (i == embedding || !is_equal(sources[i], sources[embedding])) continue;
      instruction.matrix = static_cast<Index>(i);
      break;
    }
  }
}

std::string Weights::load_matrices(Program& program, const ProgramEnvironment& environment) {
  std::vector<MatrixSource> sources;
  for (const auto& constants : program.matrices) {
    auto source = source_of(constants);
    if (!source) return std::move(source.error());
    sources.push_back(*source);
  }
  share_embeddings(program, sources);
  std::vector<bool> is_used(sources.size());
  for (const auto& instruction : program.instructions) {
    for (const auto index : {instruction.matrix, instruction.matrix_b}) {
      if (index != kNone) is_used[static_cast<std::size_t>(index)] = true;
    }
  }
  Packing packing{.files = files_, .pool = environment.pool, .sources = {}, .formats = {}};
  entry_of_.resize(sources.size());
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (!is_used[i]) continue;
    const auto& constants = program.matrices[i];
    auto origin = text(files_.origin(constants.quants), "; ", files_.origin(constants.scales));
    if (constants.zeros) origin += "; " + files_.origin(*constants.zeros);
    const auto format = choose_format(sources[i], environment.pool);
    files_.drop(sources[i].scales);
    entry_of_[i] = entries_.size();
    entries_.push_back({constants.name, std::move(origin), format});
    packing.sources.push_back(sources[i]);
    packing.formats.push_back(format);
  }
  return keep_packed(environment, packing);
}

std::string Weights::keep_packed(const ProgramEnvironment& environment, const Packing& packing) {
  void* context = const_cast<Packing*>(&packing);
  const auto warn = [&environment](const std::string& problem) {
    if (!problem.empty() && environment.warn) environment.warn(problem);
  };
  if (!environment.packed_file.empty()) {
    std::string problem;
    packed_ = open_packed_file(environment.packed_file, entries_, problem);
    if (packed_) return {};
    warn(problem);
    problem.clear();
    packed_ = write_packed_file(environment.packed_file, entries_, Packing::pack, context, problem);
    if (packed_) return {};
    warn(problem);
  }
  packed_ = pack_in_memory(entries_, Packing::pack, context);
  return packed_ ? "" : "no memory for the packed matrices";
}

}  // namespace onnxlocal::ep
