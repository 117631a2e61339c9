#include "cpu/instruction_set.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace onnxlocal::ep {

namespace {

constexpr std::array kNames{
    std::pair{InstructionSet::kPortable, std::string_view("portable")},
    std::pair{InstructionSet::kAvx2, std::string_view("avx2")},
    std::pair{InstructionSet::kAvxVnni, std::string_view("avx-vnni")},
    std::pair{InstructionSet::kAvx512, std::string_view("avx512")},
    std::pair{InstructionSet::kAvx512Bf16, std::string_view("avx512-bf16")},
    std::pair{InstructionSet::kNeonDot, std::string_view("neon-dot")},
    std::pair{InstructionSet::kNeonI8mm, std::string_view("neon-i8mm")},
};

#if defined(__x86_64__)
/// Leaf 7, subleaf 1, EAX: compilers older than the extension do not know its name.
bool has_leaf_7_1(unsigned bit) {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) == 0) return false;
  return ((eax >> bit) & 1U) != 0;
}
#endif

std::vector<InstructionSet> detect() {
  std::vector<InstructionSet> sets{InstructionSet::kPortable};
#if defined(__x86_64__)
  // These ask the operating system too: a set counts only where its registers are saved.
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
  if (!avx2) return sets;
  constexpr unsigned kAvxVnniBit = 4;
  constexpr unsigned kAvx512Bf16Bit = 5;
  sets.push_back(InstructionSet::kAvx2);
  if (has_leaf_7_1(kAvxVnniBit)) sets.push_back(InstructionSet::kAvxVnni);
  const bool avx512 =
      __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
      __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
      __builtin_cpu_supports("avx512vnni") != 0;
  if (avx512) sets.push_back(InstructionSet::kAvx512);
  if (avx512 && has_leaf_7_1(kAvx512Bf16Bit)) sets.push_back(InstructionSet::kAvx512Bf16);
#elif defined(__aarch64__) && defined(__linux__)
  if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) sets.push_back(InstructionSet::kNeonDot);
  const unsigned long more = getauxval(AT_HWCAP2);
  if ((more & HWCAP2_I8MM) != 0 && (more & HWCAP2_BF16) != 0) {
    sets.push_back(InstructionSet::kNeonI8mm);
  }
#endif
  return sets;
}

std::string list_names(std::span<const InstructionSet> sets) {
  std::string names;
  for (const InstructionSet set : sets) {
    if (!names.empty()) names += ", ";
    names += to_string(set);
  }
  return names;
}

}  // namespace

std::string_view to_string(InstructionSet set) {
  return std::ranges::find(kNames, set, [](const auto& entry) { return entry.first; })->second;
}

std::optional<InstructionSet> parse_instruction_set(std::string_view name) {
  const auto* const found =
      std::ranges::find(kNames, name, [](const auto& entry) { return entry.second; });
  if (found == kNames.end()) return std::nullopt;
  return found->first;
}

std::span<const InstructionSet> available_instruction_sets() {
  static const std::vector<InstructionSet> kSets = detect();
  return kSets;
}

InstructionSetChoice choose_instruction_set(std::string_view wanted) {
  const std::span<const InstructionSet> available = available_instruction_sets();
  InstructionSetChoice choice{.set = available.back(), .problem = {}};
  if (wanted.empty()) return choice;
  const auto set = parse_instruction_set(wanted);
  if (set && std::ranges::find(available, *set) != available.end()) {
    choice.set = *set;
    return choice;
  }
  choice.problem = "instruction set \"" + std::string(wanted) + "\" is " +
                   (set ? "not available on this processor" : "not known") + "; it has " +
                   list_names(available);
  return choice;
}

}  // namespace onnxlocal::ep
