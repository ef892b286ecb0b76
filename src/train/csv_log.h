#pragma once

#include <fstream>
#include <string>

#include "train/log_values.h"

namespace zt::train {

/// `log_history.csv`: a row per log and per evaluation, a column per value, cells empty where a row
/// has no such value. Flushed after each row.
class CsvLog : public TrainObserver {
 public:
  /// Starts the file anew with its heading. Errors: FileError.
  explicit CsvLog(std::string path, std::int64_t resumed_step = 0);

  void on_log(const LogRecord& record) override;
  void on_evaluate(const StepRecord& step, const EvalResult& result) override;
  void on_end(const TrainResult& result) override;

 private:
  void add(const LogValues& values, std::int64_t step);

  std::string path_;
  std::ofstream file_;
};

}  // namespace zt::train
