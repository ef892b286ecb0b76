#include "train/csv_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"
#include "train/kept_lines.h"

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

/// The header counts as step 0.
std::optional<std::int64_t> step_of(const std::string& line) {
  if (line.rfind("step,", 0) == 0) return 0;
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), step);
  if (error != std::errc() || end == line.data() + line.size() || *end != ',') return std::nullopt;
  return step;
}

}  // namespace

CsvLog::CsvLog(std::string path, std::int64_t resumed_step) : path_(std::move(path)) {
  if (resumed_step > 0 && keep_lines(path_, step_of, resumed_step) > 0) {
    file_.open(path_, std::ios::app);
    check(file_, path_);
    return;
  }
  file_.open(path_, std::ios::trunc);
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
