// The two functions that ONNX Runtime looks for in an execution provider's library.

#include <memory>

#include "plugin/factory.h"
#include "plugin/ort_api.h"

#define ONNXLOCAL_EXPORT __attribute__((visibility("default")))

// ONNX Runtime gave them their names.
// NOLINTBEGIN(readability-identifier-naming)
extern "C" {

ONNXLOCAL_EXPORT OrtStatus* CreateEpFactories(const char* /*registration_name*/,
                                              const OrtApiBase* base, const OrtLogger* /*logger*/,
                                              OrtEpFactory** factories, std::size_t factories_max,
                                              std::size_t* count) {
  using namespace onnxlocal::ep;
  *count = 0;
  if (OrtStatus* status = take_api(*base)) return status;
  return guarded([&] {
    if (factories_max == 0) return fail("there is no room for a factory");
    factories[0] = std::make_unique<Factory>().release();
    *count = 1;
    return ok();
  });
}

ONNXLOCAL_EXPORT OrtStatus* ReleaseEpFactory(OrtEpFactory* factory) {
  const std::unique_ptr<onnxlocal::ep::Factory> released(
      static_cast<onnxlocal::ep::Factory*>(factory));
  return nullptr;
}
}
// NOLINTEND(readability-identifier-naming)
