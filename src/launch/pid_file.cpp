#include "launch/pid_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "base/error.h"

namespace zt::launch {
namespace {

/// True when the file holds the pid of a process that lives.
bool is_in_use(const std::string& path) {
  int pid = 0;
  std::ifstream(path) >> pid;
  return pid > 0 && kill(pid, 0) == 0;
}

}  // namespace

PidFile::PidFile(int launcher, int node)
    : path_(
          (std::filesystem::temp_directory_path() /
           (std::to_string(launcher) + (node < 0 ? "" : "." + std::to_string(node)) + ".deepspeed"))
              .string()) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  int fd = open(path_.c_str(), kFlags, 0644);
  if (fd < 0 && !is_in_use(path_)) {  // left by one that was killed
    unlink(path_.c_str());
    fd = open(path_.c_str(), kFlags, 0644);
  }
  if (fd < 0) {
    throw ConfigError("[launch.save_pid] --save_pid: cannot create " + path_ +
                      ". Remove it if no launcher uses it.");
  }
  dprintf(fd, "%d", getpid());
  close(fd);
}

PidFile::~PidFile() { unlink(path_.c_str()); }

}  // namespace zt::launch
