// A plugin execution provider that fails where EP_DOUBLE_MODE says: one library for each mode, so
// that tests see what a broken provider of the field would do, through ONNX Runtime's own door.

#include <cstddef>
#include <cstdint>
#include <vector>

#include <onnxruntime_c_api.h>

#define EP_DOUBLE_FAILS_AT_LOAD 0
#define EP_DOUBLE_FAILS_AT_SESSION 1
#define EP_DOUBLE_FAILS_AT_FIRST_RUN 2
#define EP_DOUBLE_WORKS 3

namespace {

constexpr const char* kName = "DoubleExecutionProvider";

// Set once, when the library is registered.
const OrtApi* g_api = nullptr;

OrtStatus* fail(const char* message) { return g_api->CreateStatus(ORT_EP_FAIL, message); }

struct ComputeInfo : OrtNodeComputeInfo {
  ComputeInfo() : OrtNodeComputeInfo{} {
    ort_version_supported = ORT_API_VERSION;
    CreateState = [](OrtNodeComputeInfo*, OrtNodeComputeContext*, void** state) -> OrtStatus* {
      *state = nullptr;
      return nullptr;
    };
    Compute = [](OrtNodeComputeInfo*, void*, OrtKernelContext*) -> OrtStatus* {
      return fail("the double fails at its first run");
    };
    ReleaseState = [](OrtNodeComputeInfo*, void*) {};
  }
};

OrtStatus* claim_one_node(const OrtGraph* graph, OrtEpGraphSupportInfo* support) {
  std::size_t count = 0;
  if (OrtStatus* status = g_api->Graph_GetNumNodes(graph, &count)) return status;
  std::vector<const OrtNode*> nodes(count);
  if (OrtStatus* status = g_api->Graph_GetNodes(graph, nodes.data(), count)) return status;
  if (nodes.empty()) return nullptr;
  OrtNodeFusionOptions options{};
  options.ort_version_supported = ORT_API_VERSION;
  return g_api->GetEpApi()->EpGraphSupportInfo_AddNodesToFuse(support, nodes.data(), 1, &options);
}

struct Ep : OrtEp {
  Ep() : OrtEp{} {
    ort_version_supported = ORT_API_VERSION;
    GetName = [](const OrtEp*) noexcept { return kName; };
    GetCapability = [](OrtEp*, const OrtGraph* graph,
                       OrtEpGraphSupportInfo* support) noexcept -> OrtStatus* {
      return EP_DOUBLE_MODE == EP_DOUBLE_WORKS ? nullptr : claim_one_node(graph, support);
    };
    Compile = [](OrtEp*, const OrtGraph**, const OrtNode**, std::size_t count,
                 OrtNodeComputeInfo** infos, OrtNode**) noexcept -> OrtStatus* {
      for (std::size_t i = 0; i < count; ++i) infos[i] = new ComputeInfo;
      return nullptr;
    };
    ReleaseNodeComputeInfos = [](OrtEp*, OrtNodeComputeInfo** infos, std::size_t count) noexcept {
      for (std::size_t i = 0; i < count; ++i) delete static_cast<ComputeInfo*>(infos[i]);
    };
  }
};

OrtStatus* add_cpu_device(OrtEpFactory* factory, const OrtHardwareDevice* const* devices,
                          std::size_t count, OrtEpDevice** found, std::size_t found_max,
                          std::size_t* found_count) noexcept {
  *found_count = 0;
  for (std::size_t i = 0; i < count && *found_count < found_max; ++i) {
    if (g_api->HardwareDevice_Type(devices[i]) != OrtHardwareDeviceType_CPU) continue;
    OrtEpDevice* device = nullptr;
    if (OrtStatus* status =
            g_api->GetEpApi()->CreateEpDevice(factory, devices[i], nullptr, nullptr, &device)) {
      return status;
    }
    found[(*found_count)++] = device;
  }
  return nullptr;
}

struct Factory : OrtEpFactory {
  Factory() : OrtEpFactory{} {
    ort_version_supported = ORT_API_VERSION;
    GetName = [](const OrtEpFactory*) noexcept { return kName; };
    GetVendor = [](const OrtEpFactory*) noexcept { return "onnx-local tests"; };
    GetVersion = [](const OrtEpFactory*) noexcept { return "1.0.0"; };
    GetVendorId = [](const OrtEpFactory*) noexcept -> std::uint32_t { return 0; };
    GetSupportedDevices = &add_cpu_device;
    CreateEp = [](OrtEpFactory*, const OrtHardwareDevice* const*, const OrtKeyValuePairs* const*,
                  std::size_t, const OrtSessionOptions*, const OrtLogger*,
                  OrtEp** ep) noexcept -> OrtStatus* {
      if (EP_DOUBLE_MODE == EP_DOUBLE_FAILS_AT_SESSION) {
        return fail("the double fails at its session");
      }
      *ep = new Ep;
      return nullptr;
    };
    ReleaseEp = [](OrtEpFactory*, OrtEp* ep) noexcept { delete static_cast<Ep*>(ep); };
    // Registration calls it without looking: it must be there.
    CreateDataTransfer = [](OrtEpFactory*, OrtDataTransferImpl** transfer) noexcept -> OrtStatus* {
      *transfer = nullptr;
      return nullptr;
    };
    IsStreamAware = [](const OrtEpFactory*) noexcept { return false; };
  }
};

}  // namespace

extern "C" {

OrtStatus* CreateEpFactories(const char* /*registration_name*/, const OrtApiBase* base,
                             const OrtLogger* /*logger*/, OrtEpFactory** factories,
                             std::size_t factories_max, std::size_t* count) {
  g_api = base->GetApi(ORT_API_VERSION);
  if (EP_DOUBLE_MODE == EP_DOUBLE_FAILS_AT_LOAD || factories_max == 0) {
    return fail("the double fails at its load");
  }
  factories[0] = new Factory;
  *count = 1;
  return nullptr;
}

OrtStatus* ReleaseEpFactory(OrtEpFactory* factory) {
  delete static_cast<Factory*>(factory);
  return nullptr;
}
}
