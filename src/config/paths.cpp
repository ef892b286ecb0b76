#include <algorithm>
#include <filesystem>

#include "config/resolve_parts.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

namespace fs = std::filesystem;

void require_folder(Context& context, const char* flag, const std::string& path, const char* remedy,
                    bool may_be_file = false) {
  std::error_code error;
  if (fs::is_directory(path, error)) return;
  if (may_be_file && fs::is_regular_file(path, error)) return;
  const bool exists = fs::exists(path, error);
  context.refuse_flag(
      flag, (exists ? ": not a folder: '" : ": no such folder: '") + shown(path) + "'", remedy);
}

void require_file(Context& context, const char* flag, const std::string& path, const char* remedy) {
  std::error_code error;
  if (path.empty() || fs::is_regular_file(path, error)) return;
  context.refuse_flag(flag, ": no such file: '" + shown(path) + "'", remedy);
}

void require_flag(Context& context, const char* flag, const std::string& value,
                  const char* remedy) {
  if (value.empty()) context.refuse_flag(flag, " is missing", remedy);
}

/// The name of a size, where no folder is called so.
bool is_known_size(const Facts& facts, const std::string& model) {
  std::error_code error;
  return std::find(facts.model_names.begin(), facts.model_names.end(), model) !=
             facts.model_names.end() &&
         !fs::is_directory(model, error);
}

/// Flags that another task reads, given on a command line.
void note_other_task(Context& context, const char* section, const char* task) {
  for (const Flag& flag : flag_table()) {
    const FlagValue* said = context.flags.find_value(flag.name);
    if (said == nullptr || flag.field.rfind(section, 0) != 0) continue;
    if (said->written.rfind("--", 0) != 0) continue;  // a task file has all sections
    context.notice(said->written + ": no effect: zt run --task " + task + " reads it (" +
                   said->place + ")");
  }
}

}  // namespace

void resolve_task(Context& context) {
  RunConfig& run = context.config.run;
  const Task task = context.facts.task;
  if (task != Task::train) run.do_train = false;
  run.do_eval = task == Task::test || (task == Task::train && run.do_eval);
  if (task == Task::predict) note_other_task(context, "test.", "test");
  if (task != Task::predict) note_other_task(context, "predict.", "predict");
  if (context.flags.find("generation_seed") == nullptr) {
    context.config.predict.seed = run.seed;
    if (context.flags.find("seed") != nullptr) context.set_origin_flag("predict.seed", "seed");
  }
  // Without a word here, generation_config.json of the model decides (train/generation_settings.h).
  const bool greedy =
      !context.config.predict.do_sample && context.flags.find("do_sample") != nullptr;
  if (greedy && task == Task::predict) {
    for (const char* flag : {"temperature", "top_k", "top_p"}) {
      if (context.flags.find(flag) == nullptr) continue;
      context.notice(context.flags.written(flag) + ": no effect without do_sample (" +
                     context.flags.place(flag) + ")");
    }
  }
}

void check_paths(Context& context) {
  const Config& config = context.config;
  if (context.facts.reads_model) {
    require_flag(context, "model_name_or_path", config.model.model_name_or_path,
                 "Give the folder of a Hugging Face model");
  }
  const auto& model = config.model.model_name_or_path;
  const bool is_size = is_known_size(context.facts, model);
  const bool is_folder = !is_model_name(model) && !(is_size && config.model.from_scratch);
  if (context.facts.reads_model && !model.empty() && is_folder) {
    require_folder(context, "model_name_or_path", model,
                   is_size ? "Give a local folder with weights, or --from_scratch for new ones"
                           : "Models are not downloaded: give a local folder");
  }
  if (!is_folder && context.facts.reads_data) {
    require_flag(context, "tokenizer_name_or_path", config.model.tokenizer_name_or_path,
                 "Sizes have no tokenizer: give a folder with one");
  }
  if (!config.model.tokenizer_name_or_path.empty()) {
    require_folder(context, "tokenizer_name_or_path", config.model.tokenizer_name_or_path,
                   "Give a local folder");
  }
  if (!context.facts.reads_data) return;
  const Task task = context.facts.task;
  if (config.run.do_train) {
    require_flag(context, "train_file_dir", config.data.train_file_dir,
                 "Give the folder with the training text");
  }
  if (!config.data.train_file_dir.empty() && task == Task::train) {
    require_folder(context, "train_file_dir", config.data.train_file_dir,
                   "Give the folder with the training text", true);
  }
  if (!config.data.validation_file_dir.empty() && task == Task::train) {
    require_folder(context, "validation_file_dir", config.data.validation_file_dir,
                   "Give the folder with the validation text, or leave it out", true);
  }
  if (task == Task::test) {
    require_flag(context, "test_file_dir", config.test.test_file_dir,
                 "Give the folder or file with the text");
  }
  if (task != Task::predict && !config.test.test_file_dir.empty()) {
    require_folder(context, "test_file_dir", config.test.test_file_dir,
                   "Give the folder or file with the text", true);
  }
  if (task == Task::predict) {
    require_flag(context, "prompts_file", config.predict.prompts_file,
                 "Give a file with one prompt a line, or JSONL");
    require_file(context, "prompts_file", config.predict.prompts_file,
                 "Give a file with one prompt a line, or JSONL");
  }
  if (task == Task::train || (task == Task::test && config.test.output_file.empty()) ||
      (task == Task::predict && config.predict.output_file.empty())) {
    require_flag(context, "output_dir", config.run.output_dir, "Give the folder for the results");
  }
  std::error_code error;
  if (fs::exists(config.run.output_dir, error) && !fs::is_directory(config.run.output_dir, error)) {
    require_folder(context, "output_dir", config.run.output_dir, "Give the folder for the results");
  }
}

}  // namespace zt::config
