#include "plugin/factory.h"

#include <map>

#include "plugin/names.h"
#include "plugin/ort_api.h"

namespace onnxlocal::ep {

namespace {

Factory& self(OrtEpFactory* factory) { return *static_cast<Factory*>(factory); }

std::map<std::string, std::string> config_entries(const OrtSessionOptions* options) {
  OrtKeyValuePairs* pairs = nullptr;
  Ort::ThrowOnError(Ort::GetApi().GetSessionOptionsConfigEntries(options, &pairs));
  const Ort::KeyValuePairs owned(pairs);
  std::map<std::string, std::string> entries;
  for (const auto& [key, value] : owned.GetKeyValuePairs()) entries.emplace(key, value);
  return entries;
}

/// The instruction sets of this machine, slowest first, with commas between them.
std::string available_names() {
  std::string names;
  for (const InstructionSet set : available_instruction_sets()) {
    if (!names.empty()) names += ",";
    names += to_string(set);
  }
  return names;
}

}  // namespace

Factory::Factory() : OrtEpFactory{}, default_set_(choose_instruction_set(environment_isa())) {
  ort_version_supported = ORT_API_VERSION;
  GetName = [](const OrtEpFactory*) noexcept { return kProviderName; };
  GetVendor = [](const OrtEpFactory*) noexcept { return "onnx-local"; };
  GetVersion = [](const OrtEpFactory*) noexcept { return ONNXLOCAL_EP_VERSION; };
  GetVendorId = [](const OrtEpFactory*) noexcept -> std::uint32_t { return 0; };
  GetSupportedDevices = [](OrtEpFactory* factory, const OrtHardwareDevice* const* devices,
                           std::size_t count, OrtEpDevice** found, std::size_t found_max,
                           std::size_t* found_count) noexcept {
    return guarded([&] {
      return self(factory).find_devices({devices, count}, {found, found_max}, *found_count);
    });
  };
  CreateEp = [](OrtEpFactory* factory, const OrtHardwareDevice* const*,
                const OrtKeyValuePairs* const*, std::size_t, const OrtSessionOptions* options,
                const OrtLogger* logger, OrtEp** provider) noexcept {
    *provider = nullptr;
    return guarded([&] { return self(factory).create_provider(options, logger, *provider); });
  };
  ReleaseEp = [](OrtEpFactory*, OrtEp* provider) noexcept {
    const std::unique_ptr<Provider> released(static_cast<Provider*>(provider));
  };
  // Registration calls it without looking: it must be there. Tensors stay where they are.
  CreateDataTransfer = [](OrtEpFactory*, OrtDataTransferImpl** transfer) noexcept -> OrtStatus* {
    *transfer = nullptr;
    return nullptr;
  };
  IsStreamAware = [](const OrtEpFactory*) noexcept { return false; };
  GetNumCustomOpDomains = [](OrtEpFactory*, std::size_t* count) noexcept -> OrtStatus* {
    *count = 1;
    return nullptr;
  };
  GetCustomOpDomains = [](OrtEpFactory* factory, OrtCustomOpDomain** domains,
                          std::size_t count) noexcept {
    return guarded([&] {
      if (count > 0) domains[0] = self(factory).operators_.domain();
      return ok();
    });
  };
}

Ort::Status Factory::find_devices(std::span<const OrtHardwareDevice* const> devices,
                                  std::span<OrtEpDevice*> found, std::size_t& count) {
  count = 0;
  Ort::KeyValuePairs metadata;
  metadata.Add(kMetadataIsa, std::string(to_string(default_set_.set)).c_str());
  metadata.Add(kMetadataIsas, available_names().c_str());
  for (const OrtHardwareDevice* device : devices) {
    if (count == found.size()) break;
    if (Ort::GetApi().HardwareDevice_Type(device) != OrtHardwareDeviceType_CPU) continue;
    OrtEpDevice* ours = nullptr;
    Ort::ThrowOnError(Ort::GetEpApi().CreateEpDevice(this, device, metadata, nullptr, &ours));
    found[count++] = ours;
  }
  return ok();
}

Ort::Status Factory::create_provider(const OrtSessionOptions* session_options,
                                     const OrtLogger* logger, OrtEp*& provider) {
  const auto entries = config_entries(session_options);
  std::vector<std::string> warnings;
  const ProviderOptions options = read_options(entries, warnings);
  const InstructionSetChoice choice =
      options.isa.empty() ? default_set_ : choose_instruction_set(options.isa);
  if (!choice.problem.empty()) warnings.push_back(choice.problem);
  const auto prepacking = entries.find("session.disable_prepacking");
  const bool prepacks = prepacking == entries.end() || prepacking->second != "1";
  if (!prepacks) {
    warnings.push_back(
        "session.disable_prepacking=1: weights of single nodes stay in memory twice, as they were "
        "and packed");
  }

  const std::scoped_lock lock(mutex_);
  if (registry_ == nullptr) registry_ = make_kernel_registry();
  ThreadPool& threads = pool(options.threads, warnings);
  for (const std::string& warning : warnings) {
    log_message(logger, ORT_LOGGING_LEVEL_WARNING, std::string(kProviderName) + ": " + warning);
  }
  log_message(logger, ORT_LOGGING_LEVEL_INFO,
              std::string(kProviderName) + ": instruction set " +
                  std::string(to_string(choice.set)) + ", " + std::to_string(threads.threads()) +
                  " threads");
  provider = std::make_unique<Provider>(options, choice.set, threads, prepacks, registry_, logger)
                 .release();
  return ok();
}

ThreadPool& Factory::pool(unsigned threads, std::vector<std::string>& warnings) {
  if (!pool_) pool_ = std::make_unique<ThreadPool>(threads);
  if (threads != 0 && threads != pool_->threads()) {
    warnings.push_back("threads=" + std::to_string(threads) +
                       " is not used: one pool serves all sessions of a process, and it has " +
                       std::to_string(pool_->threads()));
  }
  return *pool_;
}

}  // namespace onnxlocal::ep
