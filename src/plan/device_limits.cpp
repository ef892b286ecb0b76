#include "plan/device_limits.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace zt::plan {
namespace {

constexpr std::int64_t kGiB = std::int64_t{1} << 30;

/// Source: NVIDIA's data sheets (dense rates). Memory is what the driver reports, about 2 % below
/// the label with error correction. Links: NVLink, else PCIe at what one copy reaches. Host link
/// and memory: measured for H200 (32 cores); the others' PCIe generation, and usual hosts: two
/// channels of DDR5 for the GeForce cards, one socket of a server for the rest.
constexpr std::array<DeviceLimits, 11> kDevices{
    {{"RTX3090", {24 * kGiB}, 71e12, 35.6e12, 936e9, 12e9, 24e9, 50e9},
     {"RTX4090", {24 * kGiB}, 165e12, 82.6e12, 1008e9, 24e9, 24e9, 50e9},
     {"A10", {23 * kGiB}, 125e12, 31.2e12, 600e9, 24e9, 24e9, 100e9},
     {"L4", {23 * kGiB}, 121e12, 30.3e12, 300e9, 24e9, 24e9, 100e9},
     {"V100-32GB", {32 * kGiB}, 125e12, 15.7e12, 900e9, 150e9, 12e9, 80e9},
     {"A100-40GB", {40 * kGiB}, 312e12, 19.5e12, 1555e9, 300e9, 24e9, 120e9},
     {"L40S", {45 * kGiB}, 362e12, 91.6e12, 864e9, 24e9, 24e9, 120e9},
     {"A100-80GB", {80 * kGiB}, 312e12, 19.5e12, 2039e9, 300e9, 24e9, 120e9},
     {"H100", {80 * kGiB}, 989e12, 66.9e12, 3350e9, 450e9, 52e9, 150e9},
     {"H200", {140 * kGiB}, 989e12, 66.9e12, 4800e9, 450e9, 55e9, 165e9},
     {"B200", {179 * kGiB}, 2250e12, 75e12, 8000e9, 900e9, 55e9, 200e9}}};

constexpr DeviceLimits kCpuRank{"CPU rank", {}, 1e11, 5e10, 10e9, 1e9, 10e9, 20e9};

std::string plain(const std::string& name) {
  std::string result;
  for (const char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) continue;
    result += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return result;
}

}  // namespace

const DeviceLimits* find_device(const std::string& name) {
  const auto wanted = plain(name);
  const auto found = std::find_if(kDevices.begin(), kDevices.end(),
                                  [&](const auto& device) { return plain(device.name) == wanted; });
  return found == kDevices.end() ? nullptr : &*found;
}

const DeviceLimits& device_of_memory(Bytes memory) {
  constexpr double kAbout = 1.12;  // a label says 24 GB where the driver has 24 GiB
  const auto wanted = static_cast<double>(memory.value);
  const DeviceLimits* best = nullptr;
  for (const auto& device : kDevices) {
    const auto has = static_cast<double>(device.memory.value);
    if (has < wanted || has > kAbout * wanted) continue;
    if (best == nullptr || device.matrix_rate > best->matrix_rate) best = &device;
  }
  return best == nullptr ? *find_device("H200") : *best;
}

const DeviceLimits& cpu_rank() { return kCpuRank; }

const DeviceLimits* device_of_driver_name(const std::string& name) {
  const auto given = plain(name);
  const DeviceLimits* best = nullptr;
  std::size_t most = 0;
  for (const auto& device : kDevices) {
    // `A100-80GB` stands for `NVIDIA A100-SXM4-80GB`: every part is there.
    const std::string known = device.name;
    const auto dash = std::min(known.find('-'), known.size());
    const auto first = plain(known.substr(0, dash)), second = plain(known.substr(dash));
    const bool named =
        given.find(first) != std::string::npos && given.find(second) != std::string::npos;
    if (!named || first.size() + second.size() <= most) continue;
    best = &device;
    most = first.size() + second.size();
  }
  return best;
}

std::vector<std::string> device_names() {
  std::vector<std::string> names;
  for (const auto& device : kDevices) names.emplace_back(device.name);
  return names;
}

}  // namespace zt::plan
