#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "comm/rendezvous.h"
#include "generate/results.h"

namespace zt::train {

/// Brings the result lines of all ranks to rank 0, which writes them in the order of the prompts.
/// Lines of other ranks go over the run's store, so that no rank waits for another before the end.
/// Prompt i belongs to rank i modulo world.
class PredictionExchange {
 public:
  /// Rank 0 opens the file. Errors: FileError.
  PredictionExchange(comm::RankGroup& group, const std::string& path, std::int64_t count);

  /// A line of this rank.
  void add(std::int64_t index, const std::string& line);
  /// Rank 0: takes lines of others that are there and next in order. Does not wait.
  void take_what_is_there();
  /// Waits until rank 0 has published all lines. Errors: CommError when a rank fails instead.
  void finish();
  /// Lines written so far (rank 0).
  [[nodiscard]] std::int64_t written() const { return file_ ? file_->next() : 0; }

 private:
  void check_peers() const;
  [[nodiscard]] bool others_line_is_next() const;

  comm::RankGroup& group_;
  std::int64_t count_;
  int rank_, world_;
  std::optional<generate::ResultFile> file_;  ///< rank 0
};

}  // namespace zt::train
