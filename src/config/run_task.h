#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace zt::config {

/// What `zt run --task` does.
enum class Task : std::uint8_t { train, test, predict };

/// `--task test`: loss, perplexity and accuracy of trained weights on other text.
struct TestConfig {
  std::string test_file_dir;  ///< folder or file with the text
  std::string output_file;    ///< JSON; empty: `<output_dir>/test_results.json`
};

/// `--task predict`: texts that a model writes after prompts.
struct PredictConfig {
  std::string prompts_file;  ///< JSONL (field `prompt` or `text`) or one prompt a line
  std::string output_file;   ///< JSONL; empty: `<output_dir>/predictions.jsonl`
  std::int64_t max_new_tokens = 128;
  bool do_sample = false;  ///< false: the likeliest token each time
  double temperature = 1;
  std::int64_t top_k = 50;  ///< 0: all tokens
  double top_p = 1;
  std::uint64_t seed = 42;  ///< of the sampling
  /// Prompts at once on a rank; absent: what memory and prompts allow.
  std::optional<std::int64_t> batch_size;
};

}  // namespace zt::config
