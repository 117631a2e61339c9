#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace onnxlocal::ep {

/// A borrowed callable `void(std::size_t task)`: two pointers, no allocation.
class TaskRef {
 public:
  template <class Body>
    requires(!std::same_as<std::remove_cvref_t<Body>, TaskRef> &&
             std::invocable<Body&, std::size_t>)
  TaskRef(Body&& body)  // NOLINT(google-explicit-constructor): a lambda is passed as it is.
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(body)))),
        call_([](void* object, std::size_t task) {
          (*static_cast<std::remove_reference_t<Body>*>(object))(task);
        }) {}
  void operator()(std::size_t task) const { call_(object_, task); }

 private:
  void* object_;
  void (*call_)(void*, std::size_t);
};

/// Runs independent tasks on several threads. Implementations: `ThreadPool`, which is ours, and the
/// one over ONNX Runtime's threads for kernels that stand alone in a foreign graph (plugin/).
class Parallel {
 public:
  virtual ~Parallel() = default;
  /// Threads that take part, the caller's included. At least 1.
  virtual unsigned threads() const = 0;
  /// Runs body(0) to body(tasks - 1), each once, in any order, on any thread; returns when all are
  /// done. Tasks must not wait for each other, and must not throw.
  virtual void run(std::size_t tasks, TaskRef body) = 0;
};

}  // namespace onnxlocal::ep
