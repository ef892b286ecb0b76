#include "train/csv_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"

namespace zt::train {
namespace {

constexpr std::array kColumns = {"epoch",
                                 "loss",
                                 "grad_norm",
                                 "learning_rate",
                                 "loss_scale",
                                 "eval_loss",
                                 "eval_perplexity",
                                 "eval_runtime",
                                 "eval_samples_per_second",
                                 "eval_steps_per_second",
                                 "train_loss",
                                 "train_runtime",
                                 "train_samples_per_second",
                                 "train_steps_per_second",
                                 "total_flos"};

void check(const std::ofstream& file, const std::string& path) {
  if (!file) {
    throw FileError(
        fmt::format("[train.csv] cannot write {}. Check --output_dir and the disk.", path));
  }
}

}  // namespace

CsvLog::CsvLog(std::string path) : path_(std::move(path)), file_(path_, std::ios::trunc) {
  file_ << "step";
  for (const auto* column : kColumns) file_ << ',' << column;
  file_ << '\n' << std::flush;
  check(file_, path_);
}

void CsvLog::on_log(const LogRecord& record) { add(curve_values(record), record.step.step); }

void CsvLog::on_evaluate(const StepRecord& step, const EvalResult& result) {
  add(curve_values(result, step.epoch), step.step);
}

void CsvLog::on_end(const TrainResult& result) { add(history_values(result), result.steps); }

void CsvLog::add(const LogValues& values, std::int64_t step) {
  std::string row = std::to_string(step);
  for (const auto* column : kColumns) {
    row += ',';
    const auto found = std::find_if(values.begin(), values.end(),
                                    [column](const auto& value) { return value.name == column; });
    if (found != values.end()) row += fmt::format("{}", found->value);
  }
  file_ << row << '\n' << std::flush;
  check(file_, path_);
}

}  // namespace zt::train
