#include "train/results.h"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "train/log_values.h"
#include "train/python_json.h"

namespace zt::train {
namespace {

constexpr int kIndent = 4;

std::string object_text(const LogValues& values, const char* samples_key, std::int64_t samples) {
  nlohmann::json json;  // keeps its keys sorted
  for (const auto& [name, value] : values) json[name] = value;
  json[samples_key] = samples;
  return to_python_json(json, kIndent);
}

}  // namespace

double perplexity(double loss) { return std::exp(loss); }

std::string eval_results_json(const EvalResult& result, double epoch) {
  auto values = history_values(result, epoch);
  values.push_back({"perplexity", perplexity(result.loss)});
  return object_text(values, "eval_samples", result.samples);
}

std::string train_results_json(const TrainResult& result) {
  return object_text(history_values(result), "train_samples", result.samples);
}

std::string test_results_json(const EvalResult& result) {
  ZT_ASSERT(result.hits.has_value(), "a test counts hits");
  const double accuracy = static_cast<double>(*result.hits) / static_cast<double>(result.tokens);
  return object_text({{"test_loss", result.loss},
                      {"test_perplexity", perplexity(result.loss)},
                      {"test_accuracy", accuracy},
                      {"test_tokens", static_cast<double>(result.tokens)},
                      {"test_runtime", rounded(result.seconds, 4)}},
                     "test_samples", result.samples);
}

std::string merge_results_json(const std::vector<std::string>& objects) {
  nlohmann::json merged = nlohmann::json::object();
  for (const auto& text : objects) merged.update(from_python_json(text, "all_results.json"));
  return to_python_json(merged, kIndent);
}

std::string read_text_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) throw FileError(fmt::format("[train.results] cannot read {}.", path));
  return text.str();
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
