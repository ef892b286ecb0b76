#include "memory/nvme/nvme_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/error.h"

namespace zt::memory {
namespace {

namespace fs = std::filesystem;

/// True when `file` is what lies at `path` now: nobody has removed it since it was opened.
bool is_current(int file, const fs::path& path) {
  struct stat open_one {};
  struct stat named {};
  return fstat(file, &open_one) == 0 && stat(path.c_str(), &named) == 0 &&
         open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

/// The lock of a folder, or -1 with errno: EWOULDBLOCK when a living process holds it. `make`: the
/// folder may be new.
int try_lock(const fs::path& folder, bool make) {
  for (;;) {
    if (make && mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return -1;
    const fs::path name = folder / "lock";
    const int file = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) {
      if (errno == ENOENT && make) continue;  // removed between the two calls
      return -1;
    }
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
      const int why = errno;
      ::close(file);
      errno = why;
      return -1;
    }
    if (is_current(file, name)) return file;
    ::close(file);
  }
}

/// Removes a folder whose lock this process holds. What cannot be removed stays for the next start.
void remove_locked(const fs::path& folder, int lock) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().filename() != "lock") fs::remove_all(entry.path(), ignored);
  }
  fs::remove(folder / "lock", ignored);
  ::close(lock);
  fs::remove(folder, ignored);  // fails when another process has just taken it: then it is in use
}

void sweep(const fs::path& all) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(all, ignored)) {
    if (!entry.is_directory(ignored) || entry.path().filename().string().rfind("rank", 0) != 0) {
      continue;
    }
    const int lock = try_lock(entry.path(), false);
    if (lock >= 0) remove_locked(entry.path(), lock);
  }
}

}  // namespace

NvmeFolder::NvmeFolder(const std::string& path, int rank) {
  if (path.empty()) {
    throw ConfigError("[memory.nvme] nvme_path is missing. Set it to a folder on the NVMe disk.");
  }
  const fs::path all = fs::path(path) / "zerotrain";
  std::error_code failed;
  fs::create_directories(all, failed);
  if (failed) {
    throw ConfigError(fmt::format("[memory.nvme] nvme_path cannot be used: {}: {} (rank {}).",
                                  all.string(), failed.message(), rank));
  }
  sweep(all);
  for (int number = 0;; ++number) {
    fs::path mine = all / fmt::format("rank{:05d}", rank);
    if (number > 0) mine += fmt::format(".{}", number);
    lock_ = try_lock(mine, true);
    if (lock_ >= 0) {
      folder_ = mine.string();
      return;
    }
    if (errno == ENOENT) fs::create_directories(all, failed);  // the last store of another run went
    if (errno != EWOULDBLOCK && (errno != ENOENT || failed)) {
      throw ConfigError(fmt::format("[memory.nvme] nvme_path cannot be used: {}: {} (rank {}).",
                                    mine.string(), std::strerror(errno), rank));
    }
    if (errno == ENOENT) --number;
  }
}

NvmeFolder::~NvmeFolder() {
  remove_locked(folder_, lock_);
  std::error_code ignored;
  fs::remove(fs::path(folder_).parent_path(), ignored);  // only when it is empty
}

}  // namespace zt::memory
