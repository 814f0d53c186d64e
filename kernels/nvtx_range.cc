// NVTX is headers alone, which load the tool that the environment names, if it does.
#include "kernels/nvtx_range.h"

#include <nvtx3/nvToolsExt.h>

namespace tintype {
namespace {

// Never destroyed, as a tool may be asked for it up to the end. Null where none listens.
nvtxDomainHandle_t domain() {
  static const auto kDomain = nvtxDomainCreateA("tintype");
  return kDomain;
}

}  // namespace

void begin_nvtx_range(const char* name) {
  nvtxEventAttributes_t attributes{};
  attributes.version = NVTX_VERSION;
  attributes.size = sizeof(attributes);
  attributes.messageType = NVTX_MESSAGE_TYPE_ASCII;
  attributes.message.ascii = name;
  nvtxDomainRangePushEx(domain(), &attributes);
}

void end_nvtx_range() { nvtxDomainRangePop(domain()); }

}  // namespace tintype
