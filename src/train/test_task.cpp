#include "train/test_task.h"

#include <fmt/format.h>

#include <filesystem>

#include "train/trained_weights.h"

namespace zt::train {
namespace {

std::string results_path(const config::Config& config) {
  return config.test.output_file.empty() ? config.run.output_dir + "/test_results.json"
                                         : config.test.output_file;
}

std::string folder_of(const std::string& path) {
  const auto folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

void use_trained_weights(config::Config& config) {
  const auto weights = find_trained_weights(config);
  config.notices.push_back(fmt::format("weights of {} ({})", weights.folder, weights.found_as));
  config.checkpoint.init_from = weights.folder;
  config.checkpoint.resume_from.clear();
  config = test_data_of(std::move(config));
  if (config.run.output_dir.empty()) config.run.output_dir = folder_of(results_path(config));
}

config::Config test_data_of(config::Config config) {
  config.data.validation_file_dir = config.test.test_file_dir;
  config.run.do_train = false;
  config.run.do_eval = true;
  return config;
}

void write_test_results(const config::Config& config, const EvalResult& result) {
  const auto path = results_path(config);
  std::filesystem::create_directories(folder_of(path));
  write_text_file(path, test_results_json(result));
}

std::string describe_test(const EvalResult& result, const config::Config& config) {
  const double accuracy =
      static_cast<double>(result.hits.value_or(0)) / static_cast<double>(result.tokens);
  return fmt::format(
      "test loss {:.6f}, perplexity {:.4f}, accuracy {:.4f} over {} targets in {} blocks, {:.1f} "
      "s; "
      "written to {}",
      result.loss, perplexity(result.loss), accuracy, result.tokens, result.samples, result.seconds,
      results_path(config));
}

}  // namespace zt::train
