#pragma once

namespace onnxlocal {
/// Prints the broken invariant and aborts.
[[noreturn]] void check_failed(const char* expression, const char* file, int line);
}  // namespace onnxlocal

/// An invariant of our own that stays checked in release builds. Never reachable from input, a
/// model file or a peer: those get an `Error`.
#define CHECK(invariant)                                         \
  do {                                                           \
    if (!(invariant)) [[unlikely]] {                             \
      ::onnxlocal::check_failed(#invariant, __FILE__, __LINE__); \
    }                                                            \
  } while (false)

/// The same in hot loops: debug builds only.
#ifdef NDEBUG
#define DCHECK(invariant) static_cast<void>(sizeof((invariant) ? 1 : 0))
#else
#define DCHECK(invariant) CHECK(invariant)
#endif
