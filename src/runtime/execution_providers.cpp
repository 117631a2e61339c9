#include "runtime/execution_providers.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <onnxruntime_ep_device_ep_metadata_keys.h>

#include "runtime/environment.h"
#include "runtime/model_session.h"
#include "runtime/ort_error.h"
#include "runtime/own_provider.h"
#include "runtime/paged_format.h"

namespace onnxlocal {

namespace {

namespace fs = std::filesystem;

/// How ONNX Runtime spells a provider: in the list of what it was built with, and where one is
/// appended.
struct Spelling {
  std::string_view short_name;
  std::string_view listed;
  std::string_view appended;
};
constexpr std::array kSpellings{
    Spelling{"cpu", "CPUExecutionProvider", "CPU"},
    Spelling{"cuda", "CUDAExecutionProvider", "CUDA"},
    Spelling{"tensorrt", "TensorrtExecutionProvider", "TensorRT"},
    Spelling{"nvtensorrtrtx", "NvTensorRTRTXExecutionProvider", "NvTensorRtRtx"},
    Spelling{"migraphx", "MIGraphXExecutionProvider", "MIGraphX"},
    Spelling{"openvino", "OpenVINOExecutionProvider", "OpenVINO"},
    Spelling{"dml", "DmlExecutionProvider", "DML"},
    Spelling{"coreml", "CoreMLExecutionProvider", "CoreML"},
    Spelling{"qnn", "QNNExecutionProvider", "QNN"},
    Spelling{"xnnpack", "XnnpackExecutionProvider", "XNNPACK"},
    Spelling{"webgpu", "WebGpuExecutionProvider", "WebGPU"},
    Spelling{"vitisai", "VitisAIExecutionProvider", "VitisAI"},
};

/// It sends the work to a remote service: nothing leaves this machine through us.
constexpr std::string_view kRemoteProvider = "AzureExecutionProvider";

const Spelling* find_spelling(std::string_view name) {
  const auto* const found = std::ranges::find(kSpellings, name, &Spelling::short_name);
  return found == kSpellings.end() ? nullptr : found;
}

std::string short_name_of(std::string_view listed) {
  const auto* const found = std::ranges::find(kSpellings, listed, &Spelling::listed);
  return std::string(found == kSpellings.end() ? listed : found->short_name);
}

/// Why cuda cannot run here; empty where it can, as far as files say.
std::string why_no_cuda() {
  constexpr std::string_view kLibrary = "libonnxruntime_providers_cuda.so";
  std::error_code ignored;
  // Its providers lie beside ONNX Runtime's own library.
  const auto folder = mapped_library_folder("libonnxruntime.so");
  if (folder && !fs::exists(*folder / kLibrary, ignored)) {
    return fmt::format("{} is not beside ONNX Runtime's library", kLibrary);
  }
  for (const char* device : {"/dev/nvidiactl", "/dev/dxg"}) {
    if (fs::exists(device, ignored)) return {};
  }
  return "no NVIDIA device is there";
}

void append_cuda(Ort::SessionOptions& options,
                 const std::unordered_map<std::string, std::string>& settings) {
  Ort::CUDAProviderOptions cuda;
  if (!settings.empty()) cuda.Update(settings);
  options.AppendExecutionProvider_CUDA_V2(*static_cast<OrtCUDAProviderOptionsV2*>(cuda));
}

void append_tensorrt(Ort::SessionOptions& options,
                     const std::unordered_map<std::string, std::string>& settings) {
  const OrtApi& api = Ort::GetApi();
  OrtTensorRTProviderOptionsV2* tensorrt = nullptr;
  Ort::ThrowOnError(api.CreateTensorRTProviderOptions(&tensorrt));
  const auto release = [&api](OrtTensorRTProviderOptionsV2* p) {
    api.ReleaseTensorRTProviderOptions(p);
  };
  const std::unique_ptr<OrtTensorRTProviderOptionsV2, decltype(release)> owned(tensorrt, release);
  std::vector<const char*> keys;
  std::vector<const char*> values;
  for (const auto& [key, value] : settings) {
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  Ort::ThrowOnError(
      api.UpdateTensorRTProviderOptions(tensorrt, keys.data(), values.data(), keys.size()));
  options.AppendExecutionProvider_TensorRT_V2(*tensorrt);
}

/// The devices of a plugin, whose library is registered first. Throws Ort::Exception.
std::vector<Ort::ConstEpDevice> plugin_devices(Ort::Env& environment,
                                               const ExecutionProviderChoice& choice) {
  const std::string path = fs::absolute(choice.library).string();
  const auto devices_of_library = [&] {
    std::vector<Ort::ConstEpDevice> devices;
    for (const Ort::ConstEpDevice& device : environment.GetEpDevices()) {
      const char* found = device.EpMetadata().GetValue(kOrtEpDevice_EpMetadataKey_LibraryPath);
      if (found != nullptr && path == found) devices.push_back(device);
    }
    return devices;
  };
  // Another model of this process may have registered it: the environment is one.
  std::vector<Ort::ConstEpDevice> devices = devices_of_library();
  if (devices.empty()) {
    environment.RegisterExecutionProviderLibrary(fmt::format("{}@{}", choice.name, path).c_str(),
                                                 path);
    devices = devices_of_library();
  }
  if (devices.empty()) {
    throw Ort::Exception(fmt::format("{} supports no device of this machine", path), ORT_EP_FAIL);
  }
  return devices;
}

std::vector<std::string> built_in_names() {
  std::vector<std::string> names;
  for (const std::string& listed : Ort::GetAvailableProviders()) {
    if (listed != kRemoteProvider) names.push_back(short_name_of(listed));
  }
  return names;
}

bool has_built_in(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

void append_built_in(Ort::SessionOptions& options, const ExecutionProviderChoice& choice,
                     const std::unordered_map<std::string, std::string>& settings) {
  const Spelling* const spelling = find_spelling(choice.name);
  if (choice.name == "cuda") {
    append_cuda(options, settings);
  } else if (choice.name == "tensorrt") {
    append_tensorrt(options, settings);
  } else {
    options.AppendExecutionProvider(
        std::string(spelling == nullptr ? std::string_view(choice.name) : spelling->appended),
        settings);
  }
}

}  // namespace

std::vector<ExecutionProviderChoice> default_execution_providers() {
  std::vector<ExecutionProviderChoice> choices;
  if (has_built_in(built_in_names(), "cuda") && why_no_cuda().empty()) {
    choices.push_back({.name = "cuda", .options = {}, .library = {}});
  }
  choices.push_back({.name = kOwnProviderShortName, .options = {}, .library = {}});
  choices.push_back({.name = "cpu", .options = {}, .library = {}});
  return choices;
}

bool is_stock_cpu(const ExecutionProviderChoice& choice) {
  return choice.name == "cpu" && choice.library.empty();
}

Result<void> append_execution_provider(Ort::Env& environment, Ort::SessionOptions& options,
                                       const ExecutionProviderChoice& choice) {
  if (is_stock_cpu(choice)) return {};
  const std::unordered_map<std::string, std::string> settings(choice.options.begin(),
                                                              choice.options.end());
  if (is_own_provider(choice) && choice.library.empty()) {
    TRY(const ExecutionProviderChoice found, with_own_library(choice));
    return append_execution_provider(environment, options, found);
  }
  try {
    if (!choice.library.empty()) {
      options.AppendExecutionProvider_V2(environment, plugin_devices(environment, choice),
                                         settings);
      return {};
    }
    const std::vector<std::string> names = built_in_names();
    if (find_spelling(choice.name) != nullptr && !has_built_in(names, choice.name)) {
      return std::unexpected(unavailable(
          fmt::format("this ONNX Runtime was built without it (it has {})", fmt::join(names, ", ")),
          "set ONNXRUNTIME_ROOT to a build that has it, or name a plugin's library: " +
              choice.name + "@/path/to/library.so"));
    }
    append_built_in(options, choice, settings);
    return {};
  } catch (const Ort::Exception& exception) {
    return std::unexpected(unavailable(std::string(first_line(exception.what()))));
  }
}

Result<std::string> own_instruction_set(Ort::Env& environment,
                                        const ExecutionProviderChoice& choice) {
  try {
    const auto devices = plugin_devices(environment, choice);
    const auto metadata = devices.front().EpMetadata();
    const auto published = [&metadata](const char* key) -> std::string {
      const char* const value = metadata.GetValue(key);
      return value == nullptr ? "" : value;
    };
    const auto wanted = choice.options.find(kIsaOption);
    const std::string fallback = published(kIsaMetadata);
    if (fallback.empty()) return "unknown";
    if (wanted == choice.options.end() || wanted->second.empty()) return fallback;
    // A set that the machine lacks is answered by its fastest.
    std::string fastest;
    std::istringstream sets(published(kIsasMetadata));
    for (std::string set; std::getline(sets, set, ',');) {
      if (set == wanted->second) return set;
      fastest = std::move(set);
    }
    return fastest;
  } catch (const Ort::Exception& exception) {
    return std::unexpected(unavailable(std::string(first_line(exception.what()))));
  }
}

namespace {

ExecutionProviderInfo own_provider_info(std::span<const ExecutionProviderChoice> choices) {
  const auto chosen = std::ranges::find_if(choices, is_own_provider);
  ExecutionProviderInfo info{.name = kOwnProviderShortName};
  const ExecutionProviderChoice plain{.name = info.name, .options = {}, .library = {}};
  const auto own = with_own_library(chosen != choices.end() ? *chosen : plain);
  if (!own) {
    info.detail = own.error().message;
    return info;
  }
  auto environment = make_environment(LogLevel::kWarning);
  auto set = environment ? own_instruction_set(*environment, *own)
                         : Result<std::string>(std::unexpected(environment.error()));
  info.available = set.has_value();
  info.instruction_set = set.value_or("");
  info.detail = own->library.string();
  info.detail += set ? fmt::format(", instruction set {}", *set) : ": " + set.error().message;
  return info;
}

}  // namespace

std::vector<ExecutionProviderInfo> list_execution_providers(
    std::span<const ExecutionProviderChoice> choices) {
  std::vector<ExecutionProviderInfo> infos;
  infos.push_back(own_provider_info(choices));
  try {
    for (const std::string& listed : Ort::GetAvailableProviders()) {
      if (listed == kRemoteProvider) continue;
      ExecutionProviderInfo info{.name = short_name_of(listed), .available = true, .detail = {}};
      if (info.name == "cpu") info.detail = "built in";
      if (info.name == "cuda") {
        info.detail = why_no_cuda();
        info.available = info.detail.empty();
        if (info.available) info.detail = "library and device found";
      }
      infos.push_back(std::move(info));
    }
    if (std::ranges::find(infos, "cuda", &ExecutionProviderInfo::name) == infos.end()) {
      infos.push_back(
          {.name = "cuda", .available = false, .detail = "this ONNX Runtime was built without it"});
    }
  } catch (const std::exception& exception) {
    infos.push_back({.name = "cpu", .available = false, .detail = exception.what()});
  }
  return infos;
}

std::string onnxruntime_version() { return Ort::GetVersionString(); }

}  // namespace onnxlocal
