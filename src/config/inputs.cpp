#include "config/inputs.h"

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

/// What the file that `--config` names says; a DeepSpeed file counts as `--deepspeed`.
Layer read_file_layer(const std::string& path, const Facts& facts, Problems& problems,
                      std::vector<std::string>& notices) {
  Layer layer;
  layer.name = path;
  const std::optional<Value> root = read_config_file(path, facts.environment, problems);
  if (!root) return layer;
  if (kind_of(*root) == FileKind::deepspeed) {
    layer.deepspeed = *root;
    return layer;
  }
  return read_task_layer(*root, path, facts.task, problems, notices);
}

}  // namespace

Layer read_inputs(const std::vector<std::string>& args, const Facts& facts, Problems& problems,
                  std::vector<std::string>& notices) {
  std::vector<std::string> flags = args;
  std::string file;
  if (!flags.empty() && is_file_argument(flags.front())) {
    file = flags.front();
    flags.erase(flags.begin());
  }
  Layer command;
  command.name = "command line";
  command.flags = parse_flags(flags, problems, notices);
  if (const std::string* config = command.flags.find("config")) file = *config;
  Layer all;
  all.name = command.name;
  if (!file.empty()) all = read_file_layer(file, facts, problems, notices);
  put_over(all, command);
  return all;
}

}  // namespace zt::config
