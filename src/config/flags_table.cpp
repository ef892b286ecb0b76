#include "config/flags_table.h"

#include "config/fields.h"

namespace zt::config {
namespace {

std::vector<Flag> make_table() {
  std::vector<Flag> all = run_flags();
  for (auto* part : {&tuning_flags, &checkpoint_flags, &accelerate_flags, &task_flags,
                     &accepted_flags, &accelerate_other_flags, &refused_flags}) {
    for (Flag& flag : (*part)()) all.push_back(std::move(flag));
  }
  return all;
}

/// A bar inside a cell of a Markdown table.
std::string in_cell(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '|' ? std::string("\\|") : std::string(1, c);
  return result;
}

}  // namespace

const std::vector<Flag>& flag_table() {
  static const std::vector<Flag> table = make_table();
  return table;
}

const std::vector<FlagAlias>& flag_aliases() {
  static const std::vector<FlagAlias> aliases = {
      {"nproc_per_node", "nproc"},
      {"num_gpus", "nproc"},
      {"gpus", "nproc"},
      {"evaluation_strategy", "eval_strategy"},
      {"no_cuda", "use_cpu"},
      {"activation_checkpointing", "gradient_checkpointing"},
      {"activation_checkpointing_kwargs", "gradient_checkpointing_kwargs"},
      {"per_gpu_train_batch_size", "per_device_train_batch_size"},
      {"deepspeed_config", "deepspeed"},
      {"load_checkpoint", "resume_from_checkpoint"},
      {"per_gpu_eval_batch_size", "per_device_eval_batch_size"},
      {"gradient_clipping", "max_grad_norm"},
      {"deepspeed_config_file", "deepspeed"},
      {"cpu", "use_cpu"},
      {"dtype", "torch_dtype"}};
  return aliases;
}

const Flag* find_flag(const std::string& name) {
  std::string wanted = name;
  for (const FlagAlias& alias : flag_aliases()) {
    if (alias.alias == name) wanted = alias.name;
  }
  for (const Flag& flag : flag_table()) {
    if (flag.name == wanted) return &flag;
  }
  return nullptr;
}

std::string default_of(const Flag& flag) {
  if (!flag.default_text.empty() || flag.field.empty()) return flag.default_text;
  return field_at(flag.field).get(Config{});
}

std::string documented_effect(bool has_effect, bool is_refused, const std::string& quiet,
                              const std::string& note) {
  if (has_effect) return "effect: " + note;
  return (is_refused ? "refused" : "notice") + (quiet.empty() ? "" : " unless " + in_cell(quiet)) +
         ": " + note;
}

std::string documented(const Flag& flag) {
  const bool applies = flag.use == FlagUse::applies;
  return "| `--" + flag.name + "` | " + in_cell(default_of(flag)) + " | " +
         documented_effect(applies, flag.use == FlagUse::refused, applies ? "" : flag.values,
                           applies ? in_cell(flag.help) : flag.help);
}

bool has_no_form(const Flag& flag) {
  const bool is_boolean =
      flag.type == FlagType::boolean ||
      (flag.type == FlagType::field && field_at(flag.field).type == FieldType::boolean);
  return is_boolean && (default_of(flag) == "true" || default_of(flag) == "True");
}

}  // namespace zt::config
