#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include "doctor/machine.h"

namespace zt::doctor {
namespace {

constexpr std::size_t kBlock = 8 << 20;
constexpr std::size_t kAlignment = 4096;

/// A file without a name: it is gone when the process ends, however that happens.
class ProbeFile {
 public:
  explicit ProbeFile(const std::string& folder) {
    std::string path = folder + "/.zt_doctor_XXXXXX";
    fd_ = mkstemp(path.data());
    if (fd_ >= 0) {
      unlink(path.c_str());
      // Past the page cache; file systems without that (tmpfs) are measured through it.
      is_direct_ = fcntl(fd_, F_SETFL, O_DIRECT) == 0;
    }
  }
  ~ProbeFile() {
    if (fd_ >= 0) close(fd_);
  }
  ProbeFile(const ProbeFile&) = delete;
  ProbeFile& operator=(const ProbeFile&) = delete;

  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  [[nodiscard]] bool is_direct() const { return is_direct_; }

  /// Seconds for `blocks` blocks, on disk at the end; negative after an error.
  double write_blocks(void* block, std::size_t blocks) const {
    const auto begun = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < blocks; ++i) {
      if (pwrite(fd_, block, kBlock, static_cast<off_t>(i * kBlock)) !=
          static_cast<ssize_t>(kBlock)) {
        return -1;
      }
    }
    if (fdatasync(fd_) != 0) return -1;
    return seconds_since(begun);
  }

  double read_blocks(void* block, std::size_t blocks) const {
    const auto begun = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < blocks; ++i) {
      if (pread(fd_, block, kBlock, static_cast<off_t>(i * kBlock)) !=
          static_cast<ssize_t>(kBlock)) {
        return -1;
      }
    }
    return seconds_since(begun);
  }

 private:
  static double seconds_since(std::chrono::steady_clock::time_point begun) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  }

  int fd_ = -1;
  bool is_direct_ = false;
};

Verdict speed(const std::string& what, double bytes, double seconds, bool is_direct) {
  const double rate = bytes / std::max(seconds, 1e-9) / 1e9;
  char text[96];
  std::snprintf(text, sizeof(text), "%.2f GB/s for %.0f MB%s", rate, bytes / 1e6,
                is_direct ? "" : " (through the page cache)");
  const bool slow = rate < 0.1;
  return {
      .level = slow ? Level::notice : Level::good,
      .check = what,
      .text = text,
      .remedy = slow ? "Checkpoints will take long; choose a faster folder for --output_dir" : "",
      .value = rate,
      .unit = "GB/s"};
}

Verdict space(const std::string& folder, double free) {
  Verdict verdict{.check = "disk space",
                  .text = size_text(free) + " free in " + folder,
                  .remedy = "",
                  .value = free,
                  .unit = "bytes"};
  if (free < 1e9) {
    verdict.level = Level::bad;
    verdict.remedy = "Free some, or choose another folder: no checkpoint fits";
  } else if (free < 50e9) {
    verdict.level = Level::notice;
    verdict.remedy = "A checkpoint takes about 14 bytes per parameter";
  }
  return verdict;
}

}  // namespace

Verdicts check_disk(const std::string& folder, double bytes) {
  struct statvfs state {};
  if (statvfs(folder.c_str(), &state) != 0) {
    return {{.level = Level::bad,
             .check = "disk space",
             .text = folder + ": " + std::strerror(errno),
             .remedy = "Name an existing folder with --dir"}};
  }
  const double free = static_cast<double>(state.f_bavail) * static_cast<double>(state.f_frsize);
  Verdicts verdicts = {space(folder, free)};
  const ProbeFile file(folder);
  const auto blocks = static_cast<std::size_t>(std::min(bytes, free / 4) / kBlock);
  if (!file.is_open() || blocks == 0) {
    verdicts.push_back({.level = Level::bad,
                        .check = "disk write",
                        .text = "no file can be written in " + folder,
                        .remedy = "Name a folder that you may write with --dir"});
    return verdicts;
  }
  const std::unique_ptr<void, decltype(&std::free)> block(std::aligned_alloc(kAlignment, kBlock),
                                                          &std::free);
  std::memset(block.get(), 0x5a, kBlock);
  const double written = file.write_blocks(block.get(), blocks);
  const double read = written < 0 ? -1 : file.read_blocks(block.get(), blocks);
  const double size = static_cast<double>(blocks * kBlock);
  if (read < 0) {
    verdicts.push_back({.level = Level::bad,
                        .check = "disk write",
                        .text = std::string("failed in ") + folder + ": " + std::strerror(errno),
                        .remedy = "See the kernel's log, or choose another folder"});
    return verdicts;
  }
  verdicts.push_back(speed("disk write", size, written, file.is_direct()));
  verdicts.push_back(speed("disk read", size, read, file.is_direct()));
  return verdicts;
}

}  // namespace zt::doctor
