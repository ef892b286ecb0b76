#include "doctor/gpu.h"

#include <algorithm>

namespace zt::doctor {
namespace {

constexpr std::int64_t kHardwareSlowdown = 0x8 | 0x40 | 0x80;  ///< also by heat or by power brake
constexpr std::int64_t kSoftwareThermal = 0x20;

std::string version(int cuda) {
  return std::to_string(cuda / 1000) + "." + std::to_string(cuda % 1000 / 10);
}

Verdict memory_of(const std::string& name, const Gpu& gpu) {
  Verdict verdict{.check = name,
                  .text = gpu.name + ", " + size_text(gpu.memory - gpu.memory_used) + " of " +
                          size_text(gpu.memory) + " free",
                  .remedy = "",
                  .value = gpu.memory - gpu.memory_used,
                  .unit = "bytes"};
  if (gpu.processes > 0) {
    verdict.level = Level::notice;
    verdict.text += ", " + std::to_string(gpu.processes) + " programs compute on it";
    verdict.remedy = "End them, or leave this GPU out with --include or CUDA_VISIBLE_DEVICES";
  }
  return verdict;
}

Verdict clocks_of(const std::string& name, const Gpu& gpu) {
  Verdict verdict{.check = name + " clocks",
                  .text = std::to_string(gpu.clock_mhz) + " of " +
                          std::to_string(gpu.max_clock_mhz) + " MHz now, " +
                          std::to_string(gpu.temperature) + " degrees",
                  .remedy = "",
                  .value = static_cast<double>(gpu.max_clock_mhz),
                  .unit = "MHz"};
  if (gpu.slowdown > 0 && (gpu.slowdown & kHardwareSlowdown) != 0) {
    verdict.level = Level::bad;
    verdict.text += ", slowed down by its hardware";
    verdict.remedy = "Check cooling and power supply: nvidia-smi -q -d PERFORMANCE";
  } else if (gpu.slowdown > 0 && (gpu.slowdown & kSoftwareThermal) != 0) {
    verdict.level = Level::notice;
    verdict.text += ", slowed down by heat";
    verdict.remedy = "Check its cooling";
  }
  return verdict;
}

Verdict errors_of(const std::string& name, const Gpu& gpu) {
  Verdict verdict{.check = name + " memory errors",
                  .text = std::to_string(gpu.memory_errors) + " uncorrected",
                  .remedy = "",
                  .value = static_cast<double>(gpu.memory_errors),
                  .unit = "errors"};
  if (gpu.memory_errors > 0) {
    verdict.level = Level::bad;
    verdict.remedy = "Results may be wrong: reset or replace this GPU (nvidia-smi -q -d ECC)";
  }
  return verdict;
}

}  // namespace

Verdicts check_driver(const Gpus& gpus, int usable, int needed_cuda) {
  Verdicts verdicts;
  Verdict driver{.check = "driver", .text = gpus.driver + ", CUDA " + version(gpus.cuda)};
  if (needed_cuda > 0 && gpus.cuda < needed_cuda) {
    driver.level = Level::bad;
    driver.text += ", this build needs CUDA " + version(needed_cuda);
    driver.remedy = "Install a newer driver";
  }
  verdicts.push_back(driver);
  const auto count = static_cast<int>(gpus.gpus.size());
  Verdict seen{.check = "GPUs",
               .text = std::to_string(count) + " in the machine, " + std::to_string(usable) +
                       " that this program can use"};
  if (needed_cuda == 0) {
    seen.level = Level::notice;
    seen.remedy = "This build has no CUDA: configure with the preset cuda-release";
  } else if (usable < count) {
    seen.level = usable == 0 ? Level::bad : Level::notice;
    seen.remedy = "See CUDA_VISIBLE_DEVICES, and whether the container gets all of them";
  }
  verdicts.push_back(seen);
  return verdicts;
}

Verdicts check_gpus(const Gpus& gpus) {
  Verdicts verdicts;
  for (std::size_t i = 0; i < gpus.gpus.size(); ++i) {
    const Gpu& gpu = gpus.gpus[i];
    const std::string name = "gpu " + std::to_string(i);
    verdicts.push_back(memory_of(name, gpu));
    if (gpu.max_clock_mhz > 0) verdicts.push_back(clocks_of(name, gpu));
    if (gpu.memory_errors >= 0) verdicts.push_back(errors_of(name, gpu));
  }
  return verdicts;
}

Verdicts check_links(const Gpus& gpus) {
  const std::size_t count = gpus.gpus.size();
  if (count < 2) return {};
  std::string links;
  int fewest = gpus.gpus.front().links, most = fewest;
  std::size_t pairs = 0;
  for (const Gpu& gpu : gpus.gpus) {
    links += (links.empty() ? "" : ", ") + std::to_string(gpu.links);
    fewest = std::min(fewest, gpu.links);
    most = std::max(most, gpu.links);
    pairs += static_cast<std::size_t>(std::count(gpu.peers.begin(), gpu.peers.end(), 0));
  }
  Verdict nvlink{.check = "NVLink", .text = "links that are up, by GPU: " + links};
  if (fewest < most) {
    nvlink.level = Level::bad;
    nvlink.remedy = "A link is down: see nvidia-smi nvlink --status and the fabric manager";
  } else if (most == 0) {
    nvlink.level = Level::notice;
    nvlink.remedy = "The GPUs talk over PCIe";
  }
  const std::size_t all = count * (count - 1);
  Verdict peers{.check = "peer access",
                .text = std::to_string(pairs) + " of " + std::to_string(all) + " directions"};
  if (pairs < all) {
    peers.level = Level::notice;
    peers.remedy = "The rest goes through host memory: see ACS and IOMMU settings";
  }
  return {nvlink, peers};
}

}  // namespace zt::doctor
