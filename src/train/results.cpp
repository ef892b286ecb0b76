#include "train/results.h"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace zt::train {
namespace {

constexpr int kIndent = 4;

double rounded(double value, int decimals) {
  const double scale = std::pow(10.0, decimals);
  return std::round(value * scale) / scale;
}

double per_second(std::int64_t count, double seconds) {
  return seconds > 0 ? rounded(static_cast<double>(count) / seconds, 3) : 0.0;
}

}  // namespace

double perplexity(double loss) { return std::exp(loss); }

std::string eval_results_json(const EvalResult& result, double epoch) {
  nlohmann::json json;  // keeps its keys sorted
  json["epoch"] = epoch;
  json["eval_loss"] = result.loss;
  json["eval_runtime"] = rounded(result.seconds, 4);
  json["eval_samples"] = result.samples;
  json["eval_samples_per_second"] = per_second(result.samples, result.seconds);
  json["eval_steps_per_second"] = per_second(result.batches, result.seconds);
  json["perplexity"] = perplexity(result.loss);
  return json.dump(kIndent);
}

std::string train_results_json(const TrainResult& result) {
  nlohmann::json json;
  json["epoch"] = result.epoch;
  json["total_flos"] = result.flops;
  json["train_loss"] = result.mean_loss;
  json["train_runtime"] = rounded(result.seconds, 4);
  json["train_samples"] = result.samples;
  json["train_samples_per_second"] = per_second(result.samples_seen, result.seconds);
  json["train_steps_per_second"] = per_second(result.steps, result.seconds);
  return json.dump(kIndent);
}

std::string merge_results_json(const std::vector<std::string>& objects) {
  nlohmann::json merged = nlohmann::json::object();
  for (const auto& text : objects) merged.update(nlohmann::json::parse(text));
  return merged.dump(kIndent);
}

void write_text_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc | std::ios::binary);
  file << text << std::flush;
  if (!file) {
    throw FileError(
        fmt::format("[train.results] cannot write {}. Is the disk full or read-only?", path));
  }
}

}  // namespace zt::train
