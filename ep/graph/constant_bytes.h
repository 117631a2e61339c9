#pragma once

#include <cstddef>
#include <expected>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "graph/graph.h"

namespace onnxlocal::ep {

/// Maps the files of external constants, each once, read-only. What it gives is valid while it
/// lives. One thread.
class ConstantBytes {
 public:
  ConstantBytes();
  ~ConstantBytes();
  ConstantBytes(ConstantBytes&&) noexcept;
  ConstantBytes& operator=(ConstantBytes&&) noexcept;

  /// The constant's bytes: those it carries, or those of its place.
  ///   errors: a file that cannot be read or ends too early; bytes that are not as many as the
  ///   dimensions and the type ask for (types of kOther are not measured)
  std::expected<std::span<const std::byte>, std::string> read(const Constant& constant,
                                                              const std::string& name);
  /// Says that these bytes of a mapped file are not needed any more: their pages leave memory's
  /// account of this process. Reading them again is possible and reads the file again.
  void drop(std::span<const std::byte> bytes);
  /// File, size, modification time and offset of an external constant, as text that changes when
  /// the file does; for others, a checksum of the bytes.
  std::string origin(const Constant& constant);

 private:
  struct File;
  std::expected<File*, std::string> open(const std::string& path);
  std::map<std::string, std::unique_ptr<File>, std::less<>> files_;
};

}  // namespace onnxlocal::ep
