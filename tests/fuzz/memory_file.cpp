#include "tests/fuzz/memory_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

namespace zt::fuzz {

MemoryFile::MemoryFile(const std::uint8_t* data, std::size_t size)
    : file_(memfd_create("zt-fuzz", MFD_CLOEXEC)) {
  const auto written = file_ < 0 ? -1 : ::write(file_, data, size);
  ZT_ASSERT(written == static_cast<ssize_t>(size), "file in memory");
}

MemoryFile::~MemoryFile() { close(file_); }

std::string MemoryFile::path() const { return "/proc/self/fd/" + std::to_string(file_); }

}  // namespace zt::fuzz
