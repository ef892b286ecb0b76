#include "base/error.h"
#include "memory/device_words.h"

namespace zt::memory {

DeviceWords::DeviceWords(void* /*page*/, std::size_t /*bytes*/) {
  throw DeviceError(
      "[memory.words] this build has no CUDA. Run on the CPU (--use_cpu), or build with "
      "-DZT_WITH_CUDA=ON.");
}

DeviceWords::~DeviceWords() = default;

void DeviceWords::write(std::size_t /*offset*/, std::uint32_t /*value*/,
                        const Launch& /*launch*/) const {}

}  // namespace zt::memory
