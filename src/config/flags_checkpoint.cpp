#include "config/flags_table.h"

namespace zt::config {
namespace {

constexpr const char* kCheckpoints = "Checkpoints";

Flag applies(const char* name, const char* field, const char* help, const char* default_text = "") {
  return {name, kCheckpoints, FlagUse::applies, FlagType::field, field, "", default_text, help};
}

Flag special(const char* name, FlagType type, const char* default_text, const char* help) {
  return {name, kCheckpoints, FlagUse::applies, type, "", "", default_text, help};
}

}  // namespace

/// When a run saves, what stays, and where it goes on.
std::vector<Flag> checkpoint_flags() {
  return {
      applies("save_strategy", "checkpoint.save_strategy",
              "When to save a checkpoint; steps and epoch also save at the end, best after each "
              "evaluation that is the best so far"),
      applies("save_steps", "checkpoint.save_steps",
              "Optimizer steps between checkpoints; below 1 a share of all steps"),
      applies("save_total_limit", "checkpoint.save_total_limit",
              "Checkpoints that stay, the newest and the best always", "all"),
      applies("save_keep_every", "checkpoint.save_keep_every",
              "Checkpoints of steps that are multiples of this stay whatever the limit", "none"),
      applies("save_only_model", "checkpoint.save_only_model",
              "Checkpoints hold the model alone; no run can be resumed from them"),
      applies("async_save", "checkpoint.async_save",
              "Write checkpoints while training goes on, from a copy in host memory"),
      applies(
          "checkpoint_format", "checkpoint.format",
          "deepspeed: also write every checkpoint in DeepSpeed's layout, for its load_checkpoint "
          "and zero_to_fp32.py"),
      special("checkpoint_tag", FlagType::text, "global_step{step}",
              "Name of the folder in DeepSpeed's layout; {step} stands for the step"),
      special("resume_from_checkpoint", FlagType::text, "none",
              "Go on from a checkpoint: its folder, latest (newest whole one of --output_dir, or "
              "from the start) or true (the same, but there has to be one)"),
      applies("init_from", "checkpoint.init_from",
              "Take the weights, and nothing else, from this model folder or checkpoint", "none"),
      special("load_best_model_at_end", FlagType::boolean, "false",
              "End with the weights of the best checkpoint"),
      special("metric_for_best_model", FlagType::text, "loss",
              "What best means: loss or perplexity of the evaluations"),
      special("greater_is_better", FlagType::tristate, "false",
              "True: the largest value of that metric is the best"),
      special("max_train_time", FlagType::text, "none",
              "Save and stop after this long: seconds, or as 45m, 8h, 2d or 7:30:00"),
  };
}

}  // namespace zt::config
