#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "checkpoint/safetensors.h"
#include "tests/fuzz/memory_file.h"

namespace {

bool is_float(zt::DType dtype) {
  return dtype == zt::DType::f32 || dtype == zt::DType::bf16 || dtype == zt::DType::f16;
}

}  // namespace

/// Whatever the bytes: the file opens and every tensor can be read, or FileError.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const zt::fuzz::MemoryFile input(data, size);
  try {
    const zt::checkpoint::SafetensorsFile file(input.path());
    std::int64_t bytes = 0;
    for (const auto& [name, entry] : file.tensors()) {
      bytes += entry.end - entry.begin;
      if (!is_float(entry.dtype) || entry.numel() == 0) continue;
      std::vector<float> values(
          static_cast<std::size_t>(std::min<std::int64_t>(entry.numel(), 64)));
      file.read(name, entry.numel() - static_cast<std::int64_t>(values.size()), values);
    }
    ZT_ASSERT(bytes < static_cast<std::int64_t>(size), "tensors exceed their file");
  } catch (const zt::FileError&) {
  }
  return 0;
}
