#include "doctor/nvml.h"

#include <dlfcn.h>

#include <array>

namespace zt::doctor {
namespace {

// The few calls of NVIDIA's management library that are used here, by the types of its documented
// interface: handles are pointers, 0 is success.
using Handle = void*;
constexpr int kSuccess = 0, kInsufficientSize = 7;
constexpr int kClockSm = 1, kTemperatureGpu = 0, kUncorrected = 1, kVolatile = 0, kPeerRead = 0;
constexpr unsigned kMostLinks = 18;

struct Memory {
  unsigned long long total, free, used;
};

class Library {
 public:
  explicit Library(const char* name) : handle_(dlopen(name, RTLD_NOW | RTLD_LOCAL)) {}
  ~Library() {
    if (handle_ != nullptr) dlclose(handle_);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  [[nodiscard]] bool is_open() const { return handle_ != nullptr; }

  /// Calls a function; kInsufficientSize and other codes are its own, -1: it is not there.
  template <typename... Arguments>
  int call(const char* name, Arguments... arguments) const {
    using Function = int (*)(Arguments...);
    auto* function = reinterpret_cast<Function>(dlsym(handle_, name));
    return function == nullptr ? -1 : function(arguments...);
  }

 private:
  void* handle_;
};

int count_processes(const Library& nvml, Handle gpu) {
  unsigned count = 0;
  const int code = nvml.call("nvmlDeviceGetComputeRunningProcesses_v3", gpu, &count,
                             static_cast<void*>(nullptr));
  return code == kSuccess || code == kInsufficientSize ? static_cast<int>(count) : -1;
}

int count_links(const Library& nvml, Handle gpu) {
  int up = 0;
  for (unsigned link = 0; link < kMostLinks; ++link) {
    int active = 0;
    if (nvml.call("nvmlDeviceGetNvLinkState", gpu, link, &active) == kSuccess) up += active != 0;
  }
  return up;
}

Gpu read_gpu(const Library& nvml, Handle gpu) {
  Gpu result;
  std::array<char, 96> name{};
  if (nvml.call("nvmlDeviceGetName", gpu, name.data(), static_cast<unsigned>(name.size())) ==
      kSuccess) {
    result.name = name.data();
  }
  Memory memory{};
  if (nvml.call("nvmlDeviceGetMemoryInfo", gpu, &memory) == kSuccess) {
    result.memory = static_cast<double>(memory.total);
    result.memory_used = static_cast<double>(memory.used);
  }
  unsigned number = 0;
  if (nvml.call("nvmlDeviceGetClockInfo", gpu, kClockSm, &number) == kSuccess) {
    result.clock_mhz = static_cast<int>(number);
  }
  if (nvml.call("nvmlDeviceGetMaxClockInfo", gpu, kClockSm, &number) == kSuccess) {
    result.max_clock_mhz = static_cast<int>(number);
  }
  if (nvml.call("nvmlDeviceGetTemperature", gpu, kTemperatureGpu, &number) == kSuccess) {
    result.temperature = static_cast<int>(number);
  }
  unsigned long long large = 0;
  if (nvml.call("nvmlDeviceGetCurrentClocksThrottleReasons", gpu, &large) == kSuccess) {
    result.slowdown = static_cast<std::int64_t>(large);
  }
  if (nvml.call("nvmlDeviceGetTotalEccErrors", gpu, kUncorrected, kVolatile, &large) == kSuccess) {
    result.memory_errors = static_cast<std::int64_t>(large);
  }
  result.processes = count_processes(nvml, gpu);
  result.links = count_links(nvml, gpu);
  return result;
}

}  // namespace

std::optional<Gpus> read_gpus(std::string& why) {
  const Library nvml("libnvidia-ml.so.1");
  if (!nvml.is_open()) {
    why = "no NVIDIA driver (libnvidia-ml.so.1 is not there)";
    return std::nullopt;
  }
  if (const int code = nvml.call("nvmlInit_v2"); code != kSuccess) {
    why = "the driver does not answer (NVML error " + std::to_string(code) + ")";
    return std::nullopt;
  }
  Gpus result;
  std::array<char, 96> driver{};
  nvml.call("nvmlSystemGetDriverVersion", driver.data(), static_cast<unsigned>(driver.size()));
  result.driver = driver.data();
  nvml.call("nvmlSystemGetCudaDriverVersion_v2", &result.cuda);
  unsigned count = 0;
  nvml.call("nvmlDeviceGetCount_v2", &count);
  std::vector<Handle> handles;
  for (unsigned index = 0; index < count; ++index) {
    Handle handle = nullptr;
    if (nvml.call("nvmlDeviceGetHandleByIndex_v2", index, &handle) != kSuccess) continue;
    handles.push_back(handle);
    result.gpus.push_back(read_gpu(nvml, handle));
  }
  for (std::size_t i = 0; i < handles.size(); ++i) {
    for (std::size_t j = 0; j < handles.size(); ++j) {
      int status = -1;
      if (i != j && nvml.call("nvmlDeviceGetP2PStatus", handles[i], handles[j], kPeerRead,
                              &status) == kSuccess) {
        result.gpus[i].peers.push_back(status);
      }
    }
  }
  nvml.call("nvmlShutdown");
  return result;
}

}  // namespace zt::doctor
