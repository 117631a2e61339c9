#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace onnxlocal::ep {

enum class Mode : std::uint8_t {
  kWhole,   ///< The whole decoder as one node where it is recognised, else single nodes.
  kSingle,  ///< Single nodes always.
};

/// What a session asks of the provider (names.h lists the options).
struct ProviderOptions {
  unsigned threads = 0;     ///< 0: the usable cores.
  std::string isa;          ///< Empty: the environment's, else the fastest available.
  std::string packed_file;  ///< Empty: packed in memory.
  std::string profile;      ///< Empty: none.
  Mode mode = Mode::kWhole;
};

/// Reads the options among a session's entries ("ep.onnxlocalexecutionprovider.NAME", in any case
/// of the letters). An option that is unknown or makes no sense is left out, and `warnings` says
/// so.
ProviderOptions read_options(const std::map<std::string, std::string>& entries,
                             std::vector<std::string>& warnings);

/// The instruction set that the environment asks for (ONNX_LOCAL_ISA); empty: none.
std::string environment_isa();

}  // namespace onnxlocal::ep
