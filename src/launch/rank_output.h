#pragma once

#include <string>
#include <thread>
#include <vector>

namespace zt::launch {

/// The log files of this machine's ranks. The first rank's output is also copied to our stdout.
class RankOutput {
 public:
  /// Makes `folder` and rank_<first_rank>.log and on, or <stamp>_rank<first_rank>.log.
  /// Errors: ConfigError when they cannot be made.
  RankOutput(std::string folder, std::string stamp, int first_rank, int nproc);
  ~RankOutput();
  RankOutput(const RankOutput&) = delete;
  RankOutput& operator=(const RankOutput&) = delete;

  /// What a rank writes to.
  [[nodiscard]] int fd(int local_rank) const;
  /// After the last rank was started: closes our copies and begins to copy.
  void start();
  /// Waits until the first rank's output has been copied; its processes have ended.
  void finish();
  [[nodiscard]] std::string path(int local_rank) const;

 private:
  std::string folder_, stamp_;
  int first_rank_ = 0;
  std::vector<int> files_;
  int read_end_ = -1, write_end_ = -1;
  std::thread copier_;
};

}  // namespace zt::launch
