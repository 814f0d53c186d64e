// What a tool for NVTX sees of a save: the stages of its trace. The tool is this program.
#include <nvtx3/nvToolsExt.h>

#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/device/cuda_device.h"
#include "engine/engine.h"
#include "tests/support/simulated_cuda.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace tintype {
namespace {

using nlohmann::json;
using testing::IsEmpty;
using testing::IsSupersetOf;

// What the tool was told.
struct Heard {
  std::mutex mutex;
  std::set<std::string> domains;                             // all guarded by mutex
  std::map<std::thread::id, std::vector<std::string>> open;  // ranges, the innermost last
  std::multiset<std::string> closed;
  int unopened = 0;  // ends of ranges that had not begun
};

Heard& heard() {
  static Heard all;
  return all;
}

nvtxDomainHandle_t create_domain(const char* name) {
  std::lock_guard lock(heard().mutex);
  heard().domains.insert(name);
  return reinterpret_cast<nvtxDomainHandle_t>(&heard());
}

int push(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* attributes) {
  EXPECT_EQ(domain, reinterpret_cast<nvtxDomainHandle_t>(&heard()));
  EXPECT_EQ(attributes->messageType, NVTX_MESSAGE_TYPE_ASCII);
  std::lock_guard lock(heard().mutex);
  auto& open = heard().open[std::this_thread::get_id()];
  open.emplace_back(attributes->message.ascii);
  return static_cast<int>(open.size()) - 1;
}

int pop(nvtxDomainHandle_t) {
  std::lock_guard lock(heard().mutex);
  auto& open = heard().open[std::this_thread::get_id()];
  if (open.empty()) return ++heard().unopened;
  heard().closed.insert(open.back());
  open.pop_back();
  return static_cast<int>(open.size());
}

template <typename Function>
void put(NvtxFunctionTable table, unsigned index, Function function) {
  *table[index] = reinterpret_cast<NvtxFunctionPointer>(function);
}

// As NVTX asks a tool at the first call.
int start_tool(NvtxGetExportTableFunc_t get_export_table) {
  const auto* callbacks =
      static_cast<const NvtxExportTableCallbacks*>(get_export_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable table = nullptr;
  unsigned size = 0;
  if (callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size) != 1) return 0;
  put(table, NVTX_CBID_CORE2_DomainCreateA, create_domain);
  put(table, NVTX_CBID_CORE2_DomainRangePushEx, push);
  put(table, NVTX_CBID_CORE2_DomainRangePop, pop);
  return 1;
}

// Where NVTX looks for a tool that is linked in.
const bool kIsToolHere = [] {
  InitializeInjectionNvtx2_fnptr = start_tool;
  return true;
}();

class NvtxRanges : public testing::Test {
 protected:
  NvtxRanges() {
    std::mt19937_64 random(1);
    for (std::byte& byte : memory_) byte = static_cast<std::byte>(random());
    cuda_.add_device_memory(memory_);
    cuda_.add_device_memory(slab_);
  }

  SaveRequest request() {
    SaveRequest made;
    made.storages.push_back({.address = memory_.data(),
                             .size_bytes = memory_.size(),
                             .device = 0,
                             .element_bytes = 4,
                             .is_floating = true});
    made.devices.push_back(
        {.device = devices_.device(0).value(), .stream = 7, .slab = MutableBytes(slab_)});
    TargetFile file{
        .path = directory_ / "x.pth.ttz", .object = {}, .form = {.form = FileForm::planes}};
    file.object.pickle = ByteVector(100, std::byte{5});
    file.object.storages = {0};
    made.files.push_back(std::move(file));
    return made;
  }

  std::multiset<std::string> traced_stages() const {
    std::multiset<std::string> stages;
    for (const json& event : json::parse(read_text(trace_))) {
      if (event["ph"] == "X") stages.insert(event["name"].get<std::string>());
    }
    return stages;
  }

  const TempDir directory_;
  const std::string trace_ = directory_ / "trace.json";
  ByteVector memory_ = ByteVector(4 << 20);
  ByteVector slab_ = ByteVector(4 << 20);
  SimulatedCuda cuda_{1, 1};
  CudaDevices devices_{cuda_};
};

TEST_F(NvtxRanges, are_the_stages_of_the_trace) {
  ASSERT_TRUE(kIsToolHere);
  EngineOptions options;
  options.extent_bytes = 1 << 20;
  options.staging_bytes = 8 << 20;
  options.trace_path = trace_;
  {
    const auto engine = std::move(Engine::create(std::move(options)).value());
    ASSERT_OK(*engine->save_async(request()).value()->wait_durable(std::nullopt));
  }
  EXPECT_THAT(cuda_.broken_rules(), IsEmpty());
  std::multiset<std::string> traced = traced_stages();
  traced.erase("capture");  // known when they are over: no range can have begun
  traced.erase("save_async");
  EXPECT_THAT(traced, IsSupersetOf({"plan", "pin memory", "copy early", "stage", "copy", "encode",
                                    "commit"}));
  std::lock_guard lock(heard().mutex);
  EXPECT_EQ(heard().domains, std::set<std::string>{"tintype"});
  EXPECT_EQ(heard().closed, traced);
  EXPECT_EQ(heard().unopened, 0);
  for (const auto& [thread, open] : heard().open) EXPECT_THAT(open, IsEmpty());
}

}  // namespace
}  // namespace tintype
