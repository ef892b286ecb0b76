#pragma once

#include <string>

namespace zt::launch {

/// `--save_pid`: this process's pid in <tmp>/<launcher>.deepspeed, or
/// <tmp>/<launcher>.<node>.deepspeed on several machines, until the object ends. `launcher`: pid of
/// the command that the user started.
class PidFile {
 public:
  /// `node`: -1 on one machine. Errors: ConfigError when the file is there and its process lives.
  explicit PidFile(int launcher, int node = -1);
  ~PidFile();
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace zt::launch
