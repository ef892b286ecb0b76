#include <algorithm>

#include "config/ds_schema.h"
#include "config/layer.h"
#include "config/text_distance.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

bool is_scalar(const Value& value) {
  return value.is(Value::Kind::boolean) || value.is(Value::Kind::number) ||
         value.is(Value::Kind::text);
}

std::string joined_path(const std::string& section, const std::string& key) {
  return section.empty() ? key : section + "." + key;
}

/// Keys of the `deepspeed` section that stand for a flag.
constexpr std::pair<const char*, const char*> kDeepSpeedKeys[] = {
    {"zero_stage", "zero_stage"},
    {"stage", "zero_stage"},
    {"log_level", "log_level"},
    {"config", "deepspeed"},
    {"config_file", "deepspeed"},
    {"offload_optimizer_device", "offload_optimizer_device"},
    {"offload_param_device", "offload_param_device"},
    {"gradient_accumulation_steps", "gradient_accumulation_steps"},
    {"gradient_clipping", "max_grad_norm"}};

/// Walks over one file; every member becomes a flag, a field or a problem.
class TaskReader {
 public:
  TaskReader(const std::string& name, Task task, Problems& problems,
             std::vector<std::string>& notices)
      : task_(task), problems_(problems), notices_(notices) {
    layer_.name = name;
  }

  Layer read(const Value& root) {
    if (!root.is(Value::Kind::object)) {
      problems_.add(place(root.line), "a configuration is a map, got " + describe_value(root));
      return layer_;
    }
    for (const Member& member : root.members) read_top(member);
    return layer_;
  }

 private:
  [[nodiscard]] std::string place(int line) const {
    return layer_.name + ":" + std::to_string(line);
  }
  [[nodiscard]] FlagValue given(const Member& member, const std::string& section,
                                std::string text) const {
    return {std::move(text), joined_path(section, member.key), place(member.line)};
  }

  void read_top(const Member& member) {
    const auto& sections = task_sections();
    if (member.key == "deepspeed") {
      read_deepspeed(member);
    } else if (member.value.is(Value::Kind::object) &&
               std::find(sections.begin(), sections.end(), member.key) != sections.end()) {
      for (const Member& inner : member.value.members) read_key(inner, member.key);
    } else if (std::find(sections.begin(), sections.end(), member.key) != sections.end()) {
      if (member.value.is(Value::Kind::null)) return;
      problems_.add(place(member.line),
                    member.key + ": got " + describe_value(member.value) + ", expected a map");
    } else {
      read_key(member, "");
    }
  }

  void read_key(const Member& member, const std::string& section) {
    if (read_special(member, section)) return;
    for (const TaskKey& row : task_keys()) {
      if (section != row.section || member.key != row.key) continue;
      if (row.flag == nullptr) {
        set_field_value(row.field, member, section);
      } else if (belongs_to_task(section, row.flag)) {
        set_flag(row.flag, member, section);
      }
      return;
    }
    std::string name = member.key;
    std::replace(name.begin(), name.end(), '-', '_');
    if (const Flag* flag = find_flag(name); flag != nullptr && name != "config") {
      if (name == "no_cuda" || belongs_to_task(section, flag->name)) {
        set_flag(flag->name, member, section);
      }
      return;
    }
    report_unknown(member, section);
  }

  /// Keys of `test` and `predict` that share a flag with training count for their task alone.
  [[nodiscard]] bool belongs_to_task(const std::string& section, const std::string& flag) const {
    if (section != "test" && section != "predict") return true;
    const Flag* row = find_flag(flag);
    const bool own = row != nullptr &&
                     (row->field.rfind("test.", 0) == 0 || row->field.rfind("predict.", 0) == 0);
    return own || (section == "test" ? task_ == Task::test : task_ == Task::predict);
  }

  /// Keys that say something else than one flag.
  bool read_special(const Member& member, const std::string& section) {
    const std::string& key = member.key;
    if (section.empty() && key == "task") {
      return true;  // the command line says what is run
    }
    if (key == "use_wandb" && is_scalar(member.value)) {
      if (!expect_bool(member, section)) return true;
      if (*parse_bool(member.value.text)) {
        layer_.flags.set("report_to", given(member, section, "wandb"));
      }
      return true;
    }
    if (key == "checkpoint_dir" && section == "training") {
      notices_.push_back(joined_path(section, key) +
                         ": no effect: checkpoints lie in the output folder (" +
                         place(member.line) + ")");
      return true;
    }
    return false;
  }

  bool expect_bool(const Member& member, const std::string& section) {
    if (is_scalar(member.value) && parse_bool(member.value.text)) return true;
    problems_.add(place(member.line), joined_path(section, member.key) + ": got " +
                                          describe_value(member.value) +
                                          ", expected true or false");
    return false;
  }

  void set_field_value(const std::string& field, const Member& member, const std::string& section) {
    if (member.value.is(Value::Kind::null)) return;
    if (!is_scalar(member.value)) {
      problems_.add(place(member.line), joined_path(section, member.key) + ": got " +
                                            describe_value(member.value) + ", expected a value");
      return;
    }
    layer_.fields[field] = given(member, section, member.value.text);
  }

  void set_flag(const std::string& name, const Member& member, const std::string& section) {
    const Value& value = member.value;
    if (value.is(Value::Kind::null)) return;
    const Flag& flag = *find_flag(name);
    FlagValue said = given(member, section, value.text);
    if (value.is(Value::Kind::array) && flag.type == FlagType::list) {
      said.text.clear();
      for (const Value& item : value.items) said.text += (said.text.empty() ? "" : " ") + item.text;
    } else if (!is_scalar(value) && flag.type == FlagType::json) {
      said.text = to_json(value);
    } else if (!is_scalar(value)) {
      problems_.add(said.place,
                    said.written + ": got " + describe_value(value) + ", expected a value");
      return;
    }
    const FlagValue* earlier = layer_.flags.find_value(name);
    if (earlier != nullptr && lower_case(earlier->text) != lower_case(said.text)) {
      problems_.add(earlier->place + "; " + said.place,
                    said.written + " " + shown(said.text) + " contradicts " + earlier->written +
                        " " + shown(earlier->text),
                    "Keep one");
      return;
    }
    layer_.flags.set(name, std::move(said));
  }

  void report_unknown(const Member& member, const std::string& section) {
    std::vector<std::string> names;
    for (const TaskKey& row : task_keys()) {
      if (section == row.section) names.emplace_back(row.key);
    }
    if (section.empty()) {
      names.insert(names.end(), task_sections().begin(), task_sections().end());
    }
    for (const Flag& flag : flag_table()) names.push_back(flag.name);
    for (const FlagAlias& alias : flag_aliases()) names.push_back(alias.alias);
    problems_.add(place(member.line), shown(joined_path(section, member.key)) +
                                          ": unknown key, the nearest valid key is " +
                                          joined_path(section, nearest(member.key, names).name));
  }

  void read_deepspeed(const Member& member) {
    const Value& value = member.value;
    if (value.is(Value::Kind::null)) return;
    if (is_scalar(value)) {
      const bool is_off = value.is(Value::Kind::boolean) && !parse_bool(value.text).value_or(true);
      if (!is_off) set_flag("deepspeed", member, "");
      return;
    }
    if (!value.is(Value::Kind::object)) {
      problems_.add(place(member.line),
                    "deepspeed: got " + describe_value(value) + ", expected a map or a path");
      return;
    }
    const Value* enabled = value.find("enabled");
    const bool is_on =
        enabled == nullptr || !is_scalar(*enabled) || parse_bool(enabled->text).value_or(true);
    Layer before = layer_;
    Value document;
    document.kind = Value::Kind::object;
    document.line = value.line;
    for (const Member& inner : value.members) read_deepspeed_key(inner, document);
    if (!is_on) {
      layer_ = std::move(before);
      notices_.push_back("deepspeed.enabled: false, the section has no effect (" +
                         place(enabled->line) + ")");
      return;
    }
    if (!document.members.empty()) layer_.deepspeed = std::move(document);
    fill_stage(member);
  }

  /// DeepSpeed's section alone means stage 2, as accelerate's questionnaire does.
  void fill_stage(const Member& member) {
    const bool has_stage = layer_.flags.find("zero_stage") != nullptr ||
                           layer_.flags.find("deepspeed") != nullptr ||
                           (layer_.deepspeed && layer_.deepspeed->find("zero_optimization"));
    if (has_stage) return;
    FlagValue stage{"2", "deepspeed (without zero_stage)", place(member.line)};
    layer_.flags.set("zero_stage", std::move(stage));
    notices_.push_back("deepspeed: zero_stage 2 is used, as the section names none (" +
                       place(member.line) + ")");
  }

  void read_deepspeed_key(const Member& member, Value& document) {
    const std::string section = "deepspeed";
    if (member.key == "enabled") {
      (void)expect_bool(member, section);
      return;
    }
    if ((member.key == "fp16" || member.key == "bf16") && is_scalar(member.value)) {
      if (expect_bool(member, section)) set_flag(member.key, member, section);
      return;
    }
    if (member.key == "cpu_offload" && is_scalar(member.value)) {
      if (!expect_bool(member, section)) return;
      const bool on = *parse_bool(member.value.text);
      layer_.flags.set("offload_optimizer_device", given(member, section, on ? "cpu" : "none"));
      return;
    }
    for (const auto& [key, flag] : kDeepSpeedKeys) {
      if (member.key != key) continue;
      if (std::string(flag) == "deepspeed" && member.value.is(Value::Kind::object)) {
        document.members.insert(document.members.end(), member.value.members.begin(),
                                member.value.members.end());
      } else {
        set_flag(flag, member, section);
      }
      return;
    }
    std::vector<std::string> names = ds_names_in("");
    if (std::find(names.begin(), names.end(), member.key) != names.end()) {
      document.members.push_back(member);
      return;
    }
    for (const auto& [key, flag] : kDeepSpeedKeys) names.emplace_back(key);
    names.insert(names.end(), {"enabled", "cpu_offload"});
    problems_.add(place(member.line), shown(joined_path(section, member.key)) +
                                          ": unknown key, the nearest valid key is " +
                                          joined_path(section, nearest(member.key, names).name));
  }

  Task task_;
  Problems& problems_;
  std::vector<std::string>& notices_;
  Layer layer_;
};

}  // namespace

Layer read_task_layer(const Value& root, const std::string& name, Task task, Problems& problems,
                      std::vector<std::string>& notices) {
  return TaskReader(name, task, problems, notices).read(root);
}

}  // namespace zt::config
