#include "config/ds_settings.h"

#include "config/text_values.h"

namespace zt::config {
namespace {

/// Flags that say what a key of DeepSpeed JSON says.
constexpr std::pair<const char*, const char*> kFlags[] = {
    {"zero_stage", "zero_optimization.stage"},
    {"offload_optimizer_device", "zero_optimization.offload_optimizer.device"},
    {"offload_optimizer_nvme_path", "zero_optimization.offload_optimizer.nvme_path"},
    {"offload_param_device", "zero_optimization.offload_param.device"},
    {"offload_param_nvme_path", "zero_optimization.offload_param.nvme_path"},
    {"zero3_save_16bit_model", "zero_optimization.stage3_gather_16bit_weights_on_model_save"}};

bool same_value(const std::string& a, const std::string& b) {
  if (lower_case(a) == lower_case(b)) return true;
  const auto x = parse_real(a);
  const auto y = parse_real(b);
  if (x && y) return *x == *y;
  const auto p = parse_bool(a);
  const auto q = parse_bool(b);
  return p && q && *p == *q;
}

Member& member_of(Value& object, const std::string& key, const FlagValue& said) {
  for (Member& member : object.members) {
    if (member.key == key) return member;
  }
  Member added;
  added.key = key;
  added.place = said.place;
  object.members.push_back(std::move(added));
  return object.members.back();
}

void add_setting(Value& document, const std::string& name, const DsSetting& setting,
                 Problems& problems) {
  Value* at = &document;
  std::string rest = setting.path;
  for (std::size_t dot = rest.find('.'); dot != std::string::npos; dot = rest.find('.')) {
    Member& section = member_of(*at, rest.substr(0, dot), setting.said);
    if (section.value.is(Value::Kind::null)) section.value.kind = Value::Kind::object;
    if (!section.value.is(Value::Kind::object)) {
      problems.add(setting.said.place + "; " + name + ":" + std::to_string(section.line),
                   setting.said.written + " and " + section.key + " " +
                       describe_value(section.value) + " are given",
                   "Keep one");
      return;
    }
    at = &section.value;
    rest.erase(0, dot + 1);
  }
  Member& key = member_of(*at, rest, setting.said);
  if (key.value.is(Value::Kind::null) || key.value.is_auto()) {
    key.value.kind = Value::Kind::text;
    key.value.text = setting.said.text;
    key.place = setting.said.place;
    key.written = setting.said.written;
  } else if (!same_value(key.value.text, setting.said.text)) {
    problems.add(setting.said.place + "; " + name + ":" + std::to_string(key.line),
                 setting.said.written + " " + shown(setting.said.text) + " contradicts " +
                     setting.path + " " + describe_value(key.value),
                 "Make them equal or write \"auto\" in the file");
  }
}

}  // namespace

std::vector<DsSetting> ds_settings(const FlagValues& flags) {
  std::vector<DsSetting> settings;
  for (const auto& [flag, path] : kFlags) {
    const FlagValue* said = flags.find_value(flag);
    if (said != nullptr) settings.push_back({path, *said});
  }
  return settings;
}

void add_settings(Value& document, const std::string& name, const std::vector<DsSetting>& settings,
                  Problems& problems) {
  for (const DsSetting& setting : settings) add_setting(document, name, setting, problems);
}

}  // namespace zt::config
