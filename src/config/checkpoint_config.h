#pragma once

#include <cstdint>
#include <string>

namespace zt::config {

enum class SaveStrategy : std::uint8_t { no, steps, epoch, best };
enum class CheckpointFormat : std::uint8_t { native, deepspeed };

/// When a run saves, what stays, and where it goes on.
struct CheckpointConfig {
  SaveStrategy save_strategy = SaveStrategy::steps;
  double save_steps = 500;            ///< < 1: share of all steps
  std::int64_t save_total_limit = 0;  ///< 0: all stay
  std::int64_t save_keep_every = 0;   ///< steps; 0: none stays for that reason
  bool save_only_model = false;
  bool async_save = false;
  CheckpointFormat format = CheckpointFormat::native;
  std::string tag;          ///< of DeepSpeed's layout; empty: `global_step<N>`
  std::string resume_from;  ///< a folder, `latest` or `true`; empty: from the start
  std::string init_from;    ///< folder of initial weights; empty: the model's
  bool load_best_model_at_end = false;
  std::string metric_for_best_model = "loss";  ///< of an evaluation: loss or perplexity
  bool greater_is_better = false;
  double max_train_seconds = 0;  ///< 0: no limit
};

}  // namespace zt::config
