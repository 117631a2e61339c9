#include <array>

#include "plugin/names.h"
#include "plugin/provider.h"

namespace onnxlocal::ep {

namespace {

OrtStatus* create_by_entry(void* state, const OrtKernelInfo* info,
                           OrtKernelImpl** kernel) noexcept {
  *kernel = nullptr;
  return guarded([&] {
    const OrtEp* provider = nullptr;
    Ort::ThrowOnError(Ort::GetEpApi().KernelInfo_GetEp(info, &provider));
    // The table is const to ONNX Runtime; what stands behind it is ours.
    auto& ours = *const_cast<Provider*>(static_cast<const Provider*>(provider));
    const auto& entry = *static_cast<const KernelEntry*>(state);
    *kernel = entry.create(Ort::ConstKernelInfo(info), ours.resources()).release();
    return ok();
  });
}

}  // namespace

std::span<const KernelEntry* const> kernel_entries() {
  static const std::array entries{
      &group_query_attention_entry(), &matmul_nbits_entry(),
      &paged_attention_entry(),       &paged_group_query_attention_entry(),
      &simplified_layer_norm_entry(), &skip_simplified_layer_norm_entry(),
  };
  return entries;
}

Ort::KernelRegistry make_kernel_registry() {
  Ort::KernelRegistry registry;
  for (const KernelEntry* entry : kernel_entries()) {
    Ort::KernelDefBuilder builder;
    builder.SetOperatorType(entry->op)
        .SetDomain(entry->domain)
        .SetSinceVersion(1, 1)
        .SetExecutionProvider(kProviderName);
    entry->constrain(builder);
    const Ort::KernelDef definition = builder.Build();
    Ort::ThrowOnError(
        registry.AddKernel(definition, &create_by_entry, const_cast<KernelEntry*>(entry)));
  }
  return registry;
}

}  // namespace onnxlocal::ep
