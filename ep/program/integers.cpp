#include "program/integers.h"

#include <algorithm>

#include "graph/text.h"

namespace onnxlocal::ep {

namespace {

using Kind = IntegerStep::Kind;
using Problem = std::optional<std::string>;

Problem gather(const Integers& from, const Integers& which, Integers& out) {
  const auto numbers = out.reset(which.dims(), which.count());
  const auto count = static_cast<std::int64_t>(from.count());
  for (std::size_t i = 0; i < which.count(); ++i) {
    const auto index = which.at(i) < 0 ? which.at(i) + count : which.at(i);
    if (index < 0 || index >= count) {
      return text("index ", which.at(i), " of ", count, " integers is out of range");
    }
    numbers[i] = from.at(static_cast<std::size_t>(index));
  }
  return std::nullopt;
}

Problem sum(const IntegerStep& step, const Integers& a, Integers& out) {
  if (a.dims().empty()) return "a scalar has no axis to sum over";
  const auto width = static_cast<std::size_t>(a.dims().back());
  std::vector<std::int64_t> dims(a.dims().begin(), a.dims().end() - 1);
  const std::size_t count = *element_count(dims);
  if (step.keeps_axis) dims.push_back(1);
  const auto sums = out.reset(dims, count);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t total = 0;  // Wraps around where an input is absurd; lengths are checked later.
    for (std::size_t j = 0; j < width; ++j)
      total += static_cast<std::uint64_t>(a.at(i * width + j));
    sums[i] = static_cast<std::int64_t>(total);
  }
  return std::nullopt;
}

std::int64_t combine(Kind kind, std::int64_t a, std::int64_t b) {
  const auto x = static_cast<std::uint64_t>(a);
  const auto y = static_cast<std::uint64_t>(b);
  if (kind == Kind::kGreater) return a > b ? 1 : 0;
  const auto result = kind == Kind::kAdd ? x + y : kind == Kind::kSubtract ? x - y : x * y;
  return static_cast<std::int64_t>(result);
}

Problem combine(Kind kind, const Integers& a, const Integers& b, Integers& out) {
  const bool is_same = std::ranges::equal(a.dims(), b.dims());
  if (!is_same && a.count() != 1 && b.count() != 1) {
    return text("integers of shapes ", dims_text(a.dims()), " and ", dims_text(b.dims()),
                " do not go together");
  }
  const bool takes_a = is_same || (b.count() == 1 && a.dims().size() >= b.dims().size());
  const auto& shape = takes_a ? a : b;
  const auto numbers = out.reset(shape.dims(), shape.count());
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = combine(kind, a.at(a.count() == 1 ? 0 : i), b.at(b.count() == 1 ? 0 : i));
  }
  return std::nullopt;
}

Problem change_axis(const IntegerStep& step, const Integers& a, Integers& out) {
  std::vector<std::int64_t> dims(a.dims().begin(), a.dims().end());
  const auto axis = static_cast<std::size_t>(step.axis);
  if (step.kind == Kind::kInsertAxis) {
    if (axis > dims.size()) return "an axis beyond the integers' dimensions";
    dims.insert(dims.begin() + step.axis, 1);
  } else {
    if (axis >= dims.size() || dims[axis] != 1) return "only an axis of 1 can be removed";
    dims.erase(dims.begin() + step.axis);
  }
  out.share(a, dims);
  return std::nullopt;
}

Problem run_step(const IntegerStep& step, std::span<const RunInput> inputs,
                 const std::vector<Integers>& values, Integers& out) {
  const auto operand = [&values](Index index) -> const Integers& {
    return values[static_cast<std::size_t>(index)];
  };
  switch (step.kind) {
    case Kind::kInput: {
      const auto& input = inputs[static_cast<std::size_t>(step.input)];
      if (input.dims.size() != step.rank) {
        return text("integers of shape ", dims_text(input.dims), " have not ", step.rank,
                    " dimensions");
      }
      out.borrow(input);
      return std::nullopt;
    }
    case Kind::kConstant: out.assign(step.numbers, step.dims); return std::nullopt;
    case Kind::kShape: {
      const auto dims = operand(step.a).dims();
      const std::int64_t rank[] = {static_cast<std::int64_t>(dims.size())};
      out.assign(dims, rank);
      return std::nullopt;
    }
    case Kind::kGather: return gather(operand(step.a), operand(step.b), out);
    case Kind::kSum: return sum(step, operand(step.a), out);
    case Kind::kAdd:
    case Kind::kSubtract:
    case Kind::kMultiply:
    case Kind::kGreater: return combine(step.kind, operand(step.a), operand(step.b), out);
    case Kind::kInsertAxis:
    case Kind::kRemoveAxis: return change_axis(step, operand(step.a), out);
  }
  return std::nullopt;
}

}  // namespace

void Integers::borrow(const RunInput& input) {
  dims_.assign(input.dims.begin(), input.dims.end());
  count_ = element_count(dims_).value_or(0);
  const bool is_narrow = input.type == ElementType::kInt32;
  narrow_ = is_narrow ? static_cast<const std::int32_t*>(input.data) : nullptr;
  wide_ = is_narrow ? nullptr : static_cast<const std::int64_t*>(input.data);
}

void Integers::assign(std::span<const std::int64_t> numbers, std::span<const std::int64_t> dims) {
  std::ranges::copy(numbers, reset(dims, numbers.size()).begin());
}

std::span<std::int64_t> Integers::reset(std::span<const std::int64_t> dims, std::size_t count) {
  dims_.assign(dims.begin(), dims.end());
  own_.resize(count);
  count_ = count;
  narrow_ = nullptr;
  wide_ = own_.data();
  return own_;
}

void Integers::share(const Integers& other, std::span<const std::int64_t> dims) {
  dims_.assign(dims.begin(), dims.end());
  narrow_ = other.narrow_;
  wide_ = other.wide_;
  count_ = other.count_;
}

std::optional<std::string> run_integers(const Program& program, std::span<const RunInput> inputs,
                                        std::vector<Integers>& values) {
  values.resize(program.integers.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto& step = program.integers[i];
    if (auto problem = run_step(step, inputs, values, values[i])) return problem;
  }
  return std::nullopt;
}

std::optional<std::string> run_spaces(const Program& program, std::span<const RunInput> inputs,
                                      const std::vector<Integers>& integers,
                                      std::vector<SpaceRows>& spaces) {
  spaces.resize(program.spaces.size());
  for (std::size_t i = 0; i < spaces.size(); ++i) {
    const auto& space = program.spaces[i];
    auto& dims = spaces[i].dims;
    dims.clear();
    const auto axis = static_cast<std::ptrdiff_t>(space.axis);
    if (space.of != kNone) dims = spaces[static_cast<std::size_t>(space.of)].dims;
    switch (space.kind) {
      case Space::Kind::kOfIntegers: {
        const auto known = integers[static_cast<std::size_t>(space.integers)].dims();
        dims.assign(known.begin(), known.end());
        break;
      }
      case Space::Kind::kOfInput: {
        const auto input = inputs[static_cast<std::size_t>(space.input)].dims;
        dims.assign(input.begin(), input.end() - 1);
        break;
      }
      case Space::Kind::kSelected: {
        const auto which = integers[static_cast<std::size_t>(space.integers)].dims();
        dims.erase(dims.begin() + axis);
        dims.insert(dims.begin() + axis, which.begin(), which.end());
        break;
      }
      case Space::Kind::kInserted: dims.insert(dims.begin() + axis, 1); break;
      case Space::Kind::kRemoved:
        if (dims[static_cast<std::size_t>(axis)] != 1) return "only an axis of 1 can be removed";
        dims.erase(dims.begin() + axis);
        break;
      case Space::Kind::kFlat:
      case Space::Kind::kBatched: {
        const auto rows = static_cast<std::int64_t>(element_count(dims).value_or(0));
        dims.assign(1, rows);
        if (space.kind == Space::Kind::kBatched) dims.insert(dims.begin(), 1);
        break;
      }
    }
    constexpr std::size_t kMostRows = std::size_t{1} << 28U;
    const auto rows = element_count(dims);
    if (!rows || *rows > kMostRows)
      return text(dims_text<std::int64_t>(dims), " rows are too many");
    spaces[i].rows = *rows;
  }
  return std::nullopt;
}

}  // namespace onnxlocal::ep
