#include "data/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace zt::data {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, int code) {
  throw FileError(fmt::format("[data.file] cannot read {}: {}. Check the path and permissions.",
                              path.string(), std::strerror(code)));
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail(path, errno);
  struct stat info {};
  if (::fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
    const int code = S_ISREG(info.st_mode) ? errno : EINVAL;
    ::close(file);
    fail(path, code);
  }
  size_ = static_cast<std::size_t>(info.st_size);
  if (size_ > 0) {
    void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
    const int code = errno;
    ::close(file);
    if (mapped == MAP_FAILED) fail(path, code);
    begin_ = static_cast<const char*>(mapped);
  } else {
    ::close(file);
  }
}

MappedFile::~MappedFile() {
  if (begin_) ::munmap(const_cast<char*>(begin_), size_);
}

}  // namespace zt::data
