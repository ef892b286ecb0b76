#include "config/flags_table.h"

namespace zt::config {
namespace {

constexpr const char* kFiles = "Configuration files";
constexpr const char* kTask = "Test and prediction (zt run)";

Flag applies(const char* name, const char* field, const char* help, const char* default_text = "") {
  return {name, kTask, FlagUse::applies, FlagType::field, field, "", default_text, help};
}

Flag special(const char* name, FlagType type, const char* default_text, const char* help) {
  return {name, kFiles, FlagUse::applies, type, "", "", default_text, help};
}

}  // namespace

/// Files that say flags, and what `zt run` does beside training.
std::vector<Flag> task_flags() {
  return {
      special("config", FlagType::text, "none",
              "Task file (YAML) or file of flags (JSON, YAML); flags of the command line win"),
      special("preset", FlagType::text, "none",
              "1b_mamba, 3b_mamba or 7b_mamba: the settings of configs/config_<preset>.yaml below "
              "those of --config and the command line"),
      special("dry_run", FlagType::boolean, "false",
              "Tell parameters, memory, schedule and time of the run; start and write nothing"),
      special("device", FlagType::text, "this machine's",
              "GPU by name (RTX4090, A100-80GB, H200, ...) that --dry_run plans for"),
      special("check_memory", FlagType::boolean, "false",
              "Tell what this machine's GPUs have free and what each preset needs"),
      applies("test_file_dir", "test.test_file_dir", "Folder or file with the text of --task test",
              "required to test"),
      applies("test_output_file", "test.output_file", "JSON that --task test writes",
              "<output_dir>/test_results.json"),
      applies("prompts_file", "predict.prompts_file",
              "Prompts of --task predict: JSONL with prompt or text, or one a line",
              "required to predict"),
      applies("predictions_file", "predict.output_file", "JSONL that --task predict writes",
              "<output_dir>/predictions.jsonl"),
      applies("max_new_tokens", "predict.max_new_tokens", "Tokens written after each prompt"),
      applies("do_sample", "predict.do_sample", "Draw tokens instead of taking the likeliest"),
      applies("temperature", "predict.temperature", "Divides the logits before drawing"),
      applies("top_k", "predict.top_k", "Draw from this many likeliest tokens; 0: all"),
      applies("top_p", "predict.top_p",
              "Draw from the likeliest tokens that together have this probability"),
      applies("generation_seed", "predict.seed", "Seed of the drawing"),
      applies("generation_batch_size", "predict.batch_size", "Prompts that run together on a rank",
              "what memory and the prompts allow"),
  };
}

}  // namespace zt::config
