#include "config/flags.h"

#include <algorithm>

#include "config/fields.h"
#include "config/layer.h"
#include "config/text_distance.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

constexpr const char* kCommandLine = "command line";

std::vector<std::string> known_names() {
  std::vector<std::string> names;
  for (const Flag& flag : flag_table()) {
    names.push_back(flag.name);
    if (has_no_form(flag)) names.push_back("no_" + flag.name);
  }
  for (const FlagAlias& alias : flag_aliases()) names.push_back(alias.alias);
  return names;
}

/// Names of other scripts for what a flag here says; those of task files mean the same.
constexpr std::pair<const char*, const char*> kOtherScripts[] = {
    {"cutoff_len", "block_size"},
    {"max_seq_len", "block_size"},
    {"model_max_length", "block_size"},
    {"max_epochs", "num_train_epochs"},
    {"output_path", "output_dir"},
    {"save_dir", "output_dir"},
    {"data_path", "train_file_dir"},
    {"dataset_path", "train_file_dir"},
    {"per_device_batch_size", "per_device_train_batch_size"},
    {"stage", "zero_stage"},
    {"clip_grad", "max_grad_norm"}};

/// The flag that another name stands for; empty when there is none.
std::string flag_of_other_name(const std::string& name) {
  for (const auto& [other, flag] : kOtherScripts) {
    if (name == other) return flag;
  }
  for (const TaskKey& row : task_keys()) {
    if (row.flag != nullptr && name == row.key) return row.flag;
  }
  return "";
}

/// What to say after an unknown flag: far from every name there is no neighbour.
std::string neighbour_of(const std::string& name, const std::vector<std::string>& names) {
  if (const std::string flag = flag_of_other_name(name); !flag.empty()) {
    return ", the flag for that is --" + flag;
  }
  constexpr double kFarthest = 0.45;
  const Nearest near = nearest(name, names);
  const double limit = std::max(2.0, kFarthest * static_cast<double>(name.size()));
  if (near.distance > limit) return ", zt help train lists all flags";
  return ", the nearest valid flag is --" + near.name;
}

bool takes_optional_value(const Flag& flag) {
  if (flag.type == FlagType::field) return field_at(flag.field).type == FieldType::boolean;
  // `--gradient_checkpointing` alone and `--deepspeed --deepspeed_config x.json` are in use.
  return flag.type == FlagType::boolean || flag.name == "gradient_checkpointing" ||
         flag.name == "deepspeed";
}

/// Walks over the arguments; one call of `take_flag` consumes a flag and its values.
class Parser {
 public:
  Parser(const std::vector<std::string>& args, Problems& problems,
         std::vector<std::string>& notices)
      : args_(args), problems_(problems), notices_(notices), names_(known_names()) {}

  FlagValues parse() {
    while (at_ < args_.size()) {
      const std::string& arg = args_[at_++];
      if (arg.rfind("--", 0) == 0 && arg.size() > 2) {
        take_flag(arg.substr(2));
      } else {
        problems_.add(kCommandLine,
                      "unexpected argument '" + shown(arg) + "', expected a flag --name");
      }
    }
    return values_;
  }

 private:
  [[nodiscard]] bool next_is_value() const {
    return at_ < args_.size() && args_[at_].rfind("--", 0) != 0;
  }

  /// Completes an unambiguous prefix; empty when the name is unknown, which is reported.
  std::string complete(const std::string& name) {
    if (std::find(names_.begin(), names_.end(), name) != names_.end()) return name;
    std::vector<std::string> matches;
    for (const std::string& known : names_) {
      if (known.rfind(name, 0) == 0) matches.push_back(known);
    }
    if (matches.size() == 1) {
      notices_.push_back("--" + shown(name) + " is read as --" + matches.front());
      return matches.front();
    }
    std::string text = "unknown flag --" + shown(name);
    if (matches.empty() || !flag_of_other_name(name).empty()) {
      text += neighbour_of(name, names_);
    } else {
      text += ", it is short for";
      for (const std::string& match : matches) text += " --" + match;
    }
    problems_.add(kCommandLine, text);
    return "";
  }

  void skip_values() {
    while (next_is_value()) ++at_;
  }

  void take_flag(const std::string& text) {
    const std::size_t equals = text.find('=');
    std::string name = text.substr(0, equals);
    std::replace(name.begin(), name.end(), '-', '_');
    name = complete(name);
    if (name.empty()) {
      skip_values();
      return;
    }
    const Flag* flag = find_flag(name);
    if (flag == nullptr) {
      take_no_form(name.substr(3), equals != std::string::npos);
    } else if (equals != std::string::npos) {
      set(*flag, name, text.substr(equals + 1));
    } else {
      take_values(*flag, name);
    }
  }

  void take_no_form(const std::string& positive, bool has_value) {
    if (has_value || (next_is_value() && parse_bool(args_[at_]).has_value())) {
      problems_.add(kCommandLine, "--no_" + positive + " takes no value");
      skip_values();
      return;
    }
    set(*find_flag(positive), "no_" + positive, "false");
  }

  /// `written`: the flag or its alias, completed.
  void set(const Flag& flag, const std::string& written, std::string text) {
    values_.set(flag.name, {std::move(text), "--" + written, kCommandLine});
  }

  void take_values(const Flag& flag, const std::string& written) {
    if (flag.type == FlagType::list) {
      std::string joined;
      if (!next_is_value()) missing_value(written);
      while (next_is_value()) joined += (joined.empty() ? "" : " ") + args_[at_++];
      set(flag, written, joined);
    } else if (next_is_value()) {
      set(flag, written, args_[at_++]);
    } else if (takes_optional_value(flag)) {
      if (flag.name != "deepspeed") set(flag, written, "true");
      if (flag.name == "deepspeed" && values_.find("deepspeed") == nullptr) {
        set(flag, written, "");  // a later --deepspeed_config fills it
      }
    } else {
      missing_value(written);
    }
  }

  void missing_value(const std::string& name) {
    problems_.add(kCommandLine, "--" + name + " has no value", "Give one");
  }

  const std::vector<std::string>& args_;
  Problems& problems_;
  std::vector<std::string>& notices_;
  std::vector<std::string> names_;
  FlagValues values_;
  std::size_t at_ = 0;
};

/// What a value of this type looks like; empty when `text` is one.
std::string type_error(const Flag& flag, const std::string& text) {
  const bool is_none = lower_case(text) == "none";
  switch (flag.type) {
    case FlagType::boolean:
      return parse_bool(text) ? "" : "true or false";
    case FlagType::tristate:
      return is_none || parse_bool(text) ? "" : "true or false";
    case FlagType::integer:
      return is_none || parse_integer(text) ? "" : "a whole number";
    case FlagType::real:
      return is_none || parse_real(text) ? "" : "a finite number";
    case FlagType::text:
      if (flag.use != FlagUse::applies || flag.values.empty() || is_listed(text, flag.values)) {
        return "";
      }
      return "one of " + flag.values;
    case FlagType::field:
    case FlagType::list:
    case FlagType::json:
      return "";
  }
  return "";
}

/// True when a flag without effect asks for nothing: `--load_in_8bit False`, `--tf32 None`.
bool asks_for_nothing(const Flag& flag, const std::string& text) {
  if (flag.values.empty()) return false;
  if (is_listed(text, flag.values)) return true;
  if (flag.type == FlagType::boolean || flag.type == FlagType::tristate) {
    const std::optional<bool> value = parse_bool(text);
    return value && is_listed(*value ? "true" : "false", flag.values);
  }
  if (flag.type == FlagType::real || flag.type == FlagType::integer) {
    const std::optional<double> value = parse_real(text);
    return value && is_listed(format_real(*value), flag.values);
  }
  return false;
}

void apply_field(const Flag& flag, const FlagValue& given, Config& config, Problems& problems) {
  const Field& field = field_at(flag.field);
  const bool is_count = flag.name == "max_train_samples" || flag.name == "max_eval_samples" ||
                        flag.name == "preprocessing_num_workers" || flag.name == "data_seed" ||
                        flag.name == "disable_tqdm" || flag.name == "save_total_limit" ||
                        field.type == FieldType::text;
  if (is_count && lower_case(given.text) == "none") return;  // the default, as Python spells it
  const std::string expected = set_field(config, field, given.text);
  if (!expected.empty()) {
    problems.add(given.place,
                 given.written + ": got '" + shown(given.text) + "', expected " + expected);
    return;
  }
  config.origins[flag.field] = {given.written, given.place};
}

void apply_flag(const Flag& flag, const FlagValue& given, Config& config, Problems& problems) {
  const std::string& text = given.text;
  if (flag.type == FlagType::field) {
    apply_field(flag, given, config, problems);
    return;
  }
  const std::string expected = type_error(flag, text);
  if (!expected.empty()) {
    problems.add(given.place, given.written + ": got '" + shown(text) + "', expected " + expected);
  } else if (flag.use == FlagUse::accepted && !asks_for_nothing(flag, text)) {
    config.notices.push_back(given.written + ": no effect: " + flag.help + " (" + given.place +
                             ")");
  } else if (flag.use == FlagUse::refused && !asks_for_nothing(flag, text)) {
    std::string valid = flag.values;
    while (!valid.empty() && valid.back() == '|') valid.pop_back();
    problems.add(given.place,
                 given.written + " " + shown(text) + " is not built yet: accepted values: " + valid,
                 flag.help);
  }
}

}  // namespace

const FlagValue* FlagValues::find_value(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

const std::string* FlagValues::find(const std::string& name) const {
  const FlagValue* given = find_value(name);
  return given == nullptr ? nullptr : &given->text;
}

std::string FlagValues::written(const std::string& name) const {
  const FlagValue* given = find_value(name);
  return given == nullptr ? "--" + name : given->written;
}

std::string FlagValues::place(const std::string& name) const {
  const FlagValue* given = find_value(name);
  return given == nullptr ? kCommandLine : given->place;
}

void FlagValues::set(const std::string& name, std::string text) {
  values_[name] = {std::move(text), "--" + name, kCommandLine};
}

bool FlagValues::boolean(const std::string& name, bool fallback) const {
  const std::string* text = find(name);
  return text == nullptr ? fallback : parse_bool(*text).value_or(fallback);
}

bool is_listed(const std::string& text, const std::string& values) {
  const std::string word = lower_case(text);
  std::size_t start = 0;
  while (true) {
    const std::size_t bar = values.find('|', start);
    if (lower_case(values.substr(start, bar - start)) == word) return true;
    if (bar == std::string::npos) return false;
    start = bar + 1;
  }
}

FlagValues parse_flags(const std::vector<std::string>& args, Problems& problems,
                       std::vector<std::string>& notices) {
  return Parser(args, problems, notices).parse();
}

void apply_flags(const FlagValues& flags, Config& config, Problems& problems) {
  for (const auto& [name, given] : flags.all()) {
    apply_flag(*find_flag(name), given, config, problems);
  }
}

}  // namespace zt::config
