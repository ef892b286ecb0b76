#include "config/inputs.h"

#include "config/accelerate.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

bool is_file_argument(const std::string& arg) {
  if (arg.rfind("--", 0) == 0) return false;
  const std::string name = lower_case(arg);
  for (const std::string& end : {std::string(".json"), std::string(".yaml"), std::string(".yml")}) {
    if (name.size() > end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0) {
      return true;
    }
  }
  return false;
}

/// Flags that name a file or a folder.
constexpr const char* kPaths[] = {"cache_dir",
                                  "config",
                                  "config_file",
                                  "deepspeed",
                                  "init_from",
                                  "logging_dir",
                                  "model_name_or_path",
                                  "offload_optimizer_nvme_path",
                                  "offload_param_nvme_path",
                                  "output_dir",
                                  "predictions_file",
                                  "prompts_file",
                                  "resume_from_checkpoint",
                                  "test_file_dir",
                                  "test_output_file",
                                  "tokenizer_name_or_path",
                                  "train_file_dir",
                                  "validation_file_dir"};

void expand_home(FlagValues& flags, const Variables& environment) {
  for (const char* name : kPaths) {
    const FlagValue* given = flags.find_value(name);
    if (given == nullptr) continue;
    FlagValue expanded = *given;
    expanded.text = with_home(given->text, environment);
    if (expanded.text != given->text) flags.set(name, expanded);
  }
}

/// What the file that `--config` names says; a DeepSpeed file counts as `--deepspeed`.
Layer read_file_layer(const std::string& path, const Facts& facts, Problems& problems,
                      std::vector<std::string>& notices) {
  Layer layer;
  layer.name = path;
  const std::optional<Value> root = read_config_file(path, facts.environment, problems);
  if (!root) return layer;
  switch (kind_of(*root)) {
    case FileKind::deepspeed:
      layer.deepspeed = *root;
      return layer;
    case FileKind::accelerate:
      return read_accelerate_layer(*root, path, problems);
    case FileKind::task:
      break;
  }
  return read_task_layer(*root, path, facts.task, problems, notices);
}

/// accelerate's own numbers and the Trainer's arguments have to agree, as they do in transformers.
void check_agreement(const Layer& accelerate, const Layer& over, Problems& problems) {
  for (const char* flag : {"gradient_accumulation_steps", "max_grad_norm"}) {
    const FlagValue* lower = accelerate.flags.find_value(flag);
    const FlagValue* upper = over.flags.find_value(flag);
    if (lower == nullptr || upper == nullptr) continue;
    const auto x = parse_real(lower->text);
    const auto y = parse_real(upper->text);
    if (!x || !y || *x == *y) continue;
    problems.add(upper->place + "; " + lower->place,
                 upper->written + " " + shown(upper->text) + " contradicts " + lower->written +
                     " " + shown(lower->text),
                 "Make them equal or leave accelerate's out");
  }
}

}  // namespace

std::string with_home(const std::string& path, const Variables& environment) {
  const auto home = environment.find("HOME");
  const bool is_home = path == "~" || path.rfind("~/", 0) == 0;
  if (!is_home || home == environment.end() || home->second.empty()) return path;
  return home->second + path.substr(1);
}

Layer read_inputs(const std::vector<std::string>& args, const Facts& facts, Problems& problems,
                  std::vector<std::string>& notices) {
  std::vector<std::string> flags = args;
  std::string file;
  if (!flags.empty() && is_file_argument(flags.front())) {
    file = flags.front();
    flags.erase(flags.begin());
  }
  Layer over;  // what wins over accelerate: the task file and the command line
  Layer command;
  command.name = "command line";
  command.flags = parse_flags(flags, problems, notices);
  expand_home(command.flags, facts.environment);
  if (const std::string* config = command.flags.find("config")) file = *config;
  over.name = command.name;
  if (const FlagValue* preset = command.flags.find_value("preset")) {
    over = read_preset_layer(*preset, facts.task, problems, notices);
  }
  if (!file.empty()) put_over(over, read_file_layer(file, facts, problems, notices));
  put_over(over, command);

  Layer all = read_launch_environment(facts.environment);
  if (const std::string* accelerate = over.flags.find("config_file")) {
    const std::optional<Value> root = read_config_file(*accelerate, facts.environment, problems);
    if (root) put_over(all, read_accelerate_layer(*root, *accelerate, problems));
  }
  check_agreement(all, over, problems);
  if (!over.deepspeed) all.name = over.name;
  put_over(all, over);
  expand_home(all.flags, facts.environment);
  lower_accelerate(all, facts, problems, notices);
  return all;
}

}  // namespace zt::config
