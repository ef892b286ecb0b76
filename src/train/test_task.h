#pragma once

#include <string>

#include "config/config.h"
#include "train/results.h"

namespace zt::train {

/// Makes a run of `--task test` one that evaluates the test text with the weights of
/// find_trained_weights. Errors: those of find_trained_weights.
void use_trained_weights(config::Config& config);

/// The configuration whose validation text is the test text, and that has no training text.
[[nodiscard]] config::Config test_data_of(config::Config config);

/// Writes test_results.json (--test_output_file). Rank 0 only. Errors: FileError.
void write_test_results(const config::Config& config, const EvalResult& result);

/// One line for the log.
[[nodiscard]] std::string describe_test(const EvalResult& result, const config::Config& config);

}  // namespace zt::train
