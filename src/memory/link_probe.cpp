#include "memory/link_probe.h"

#include <chrono>

#include "memory/arena.h"

namespace zt::memory {
namespace {

double bytes_per_second(const View& from, const View& to) {
  const Launch launch{Device::cuda, nullptr};
  double seconds = 0;
  for (int i = 0; i < 2; ++i) {  // the first one warms up
    const auto begin = std::chrono::steady_clock::now();
    copy(from, to, launch);
    synchronize(launch);
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  return static_cast<double>(from.bytes().value) / seconds;
}

}  // namespace

LinkProbe probe_link(Device device, int device_index, bool pinned) {
  constexpr Bytes kBytes{64 << 20};
  if (device != Device::cuda) return {};
  set_device(device, device_index);
  const Arena on_device(Place::device, device, kBytes);
  const Arena on_host(Place::host, device, kBytes,
                      {.pinned = pinned, .pool = nullptr, .ranges = {}});
  const View there{on_device.at({0}), kBytes.value, DType::u8};
  const View here{on_host.at({0}), kBytes.value, DType::u8};
  return {.download = bytes_per_second(there, here), .upload = bytes_per_second(here, there)};
}

}  // namespace zt::memory
