#include "train/metrics_file.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "train/kept_lines.h"

namespace zt::train {

namespace {

std::optional<std::int64_t> step_of(const std::string& line) {
  const auto record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object() || !record.contains("step") || !record["step"].is_number_integer()) {
    return std::nullopt;
  }
  return record["step"].get<std::int64_t>();
}

}  // namespace

std::vector<StepRecord> read_losses(const std::string& path, std::int64_t after,
                                    std::int64_t last) {
  std::vector<StepRecord> records;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto step = step_of(line);
    if (!step || *step <= after || *step > last) continue;
    StepRecord record{.step = *step};
    // A loss that was not finite is null.
    record.loss = std::numeric_limits<double>::quiet_NaN();
    const auto json = nlohmann::json::parse(line);
    if (json.contains("loss") && json["loss"].is_number()) record.loss = json["loss"];
    records.push_back(record);
  }
  if (static_cast<std::int64_t>(records.size()) != last - after) records.clear();
  return records;
}

MetricsFile::MetricsFile(std::string path, std::int64_t resumed_step) : path_(std::move(path)) {
  if (resumed_step > 0) keep_lines(path_, step_of, resumed_step);
  file_.open(path_, resumed_step > 0 ? std::ios::app : std::ios::trunc);
  if (!file_) {
    throw FileError(fmt::format("[train.metrics] cannot write {}. Check --output_dir.", path_));
  }
}

void MetricsFile::on_step(const StepRecord& record) {
  file_ << to_json_line(record) << '\n' << std::flush;
  if (!file_) {
    throw FileError(fmt::format("[train.metrics] writing {} failed at step {}. Is the disk full?",
                                path_, record.step));
  }
}

}  // namespace zt::train
