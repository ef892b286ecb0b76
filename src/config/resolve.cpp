#include "config/resolve.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "config/ds_settings.h"
#include "config/fields.h"
#include "config/inputs.h"
#include "config/resolve_parts.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

struct Source {
  std::string text, name;
};

constexpr const char* kCommandLine = "command line";

bool is_yaml_name(const std::string& path) {
  const std::string ending = lower_case(std::filesystem::path(path).extension().string());
  return ending == ".yaml" || ending == ".yml";
}

/// The text of a DeepSpeed configuration: inline JSON, a file, or base64 of JSON.
std::optional<Source> read_source(const FlagValue& said, Problems& problems) {
  const std::string text = trimmed(said.text);
  if (text.empty()) {
    problems.add(said.place, said.written + " has no value", "Give a path or JSON text");
    return std::nullopt;
  }
  if (text.front() == '{') return Source{text, said.written};
  std::error_code error;
  if (std::filesystem::is_regular_file(text, error)) {
    constexpr std::uintmax_t kLongest = std::uintmax_t{1} << 20;
    const std::uintmax_t size = std::filesystem::file_size(text, error);
    if (error || size > kLongest) {
      problems.add(shown(text), "the file is larger than 1 MiB", "This is not a configuration");
      return std::nullopt;
    }
    std::ifstream file(text, std::ios::binary);
    std::ostringstream content;
    content << file.rdbuf();
    if (!file) {
      problems.add(shown(text), "the DeepSpeed configuration cannot be read");
    } else if (is_yaml_name(text)) {
      problems.add(said.place, said.written + ": got the YAML file '" + shown(text) + "'",
                   "DeepSpeed's configuration is JSON; task files go to --config");
    } else {
      return Source{content.str(), text};
    }
    return std::nullopt;
  }
  const std::optional<std::string> decoded = decode_base64(text);
  if (decoded && trimmed(*decoded).rfind('{', 0) == 0) return Source{*decoded, said.written};
  const bool exists = std::filesystem::exists(text, error);
  problems.add(
      said.place,
      said.written + (exists ? ": not a file: '" : ": no such file: '") + shown(text) + "'",
      "Give a path, JSON text or base64 of JSON");
  return std::nullopt;
}

std::optional<Value> parse_source(const Source& source, const Variables& environment,
                                  Problems& problems) {
  try {
    Value root = read_json(source.text, source.name);
    replace_variables(root, environment, source.name, problems);
    return root;
  } catch (const JsonError& error) {
    problems.add(error.problems());
    return std::nullopt;
  }
}

/// The DeepSpeed document of a run: the file that a flag names, or what a task file holds, with the
/// settings that flags add. Empty when nothing speaks of DeepSpeed. `name`: for messages.
std::optional<Value> read_document(const Layer& inputs, const Variables& environment,
                                   std::string& name, Problems& problems) {
  const FlagValue* said = inputs.flags.find_value("deepspeed");
  const std::vector<DsSetting> settings = ds_settings(inputs.flags);
  Value root;
  root.kind = Value::Kind::object;
  name = inputs.name;
  if (inputs.deepspeed) {
    root = *inputs.deepspeed;
  } else if (said != nullptr && lower_case(said->text) != "none") {
    const std::optional<Source> source = read_source(*said, problems);
    std::optional<Value> parsed =
        source ? parse_source(*source, environment, problems) : std::nullopt;
    if (!parsed) return std::nullopt;
    root = std::move(*parsed);
    name = source->name;
  } else if (settings.empty()) {
    return std::nullopt;
  }
  if (root.is(Value::Kind::object)) add_settings(root, name, settings, problems);
  return root;
}

/// Null when nothing speaks of DeepSpeed.
std::unique_ptr<DsDocument> open_document(const Layer& inputs, const Variables& environment,
                                          Problems& problems, std::vector<std::string>& notices) {
  std::string name;
  auto root = read_document(inputs, environment, name, problems);
  if (!root) return nullptr;
  return std::make_unique<DsDocument>(std::move(*root), name, problems, notices);
}

/// Older names of keys become the ones that this program writes. `path`: of `object`, with a dot.
void rename_aliases(Value& object, const std::string& path) {
  for (Member& member : object.members) {
    for (const DsAlias& alias : ds_aliases()) {
      if (path + member.key == alias.alias) member.key = alias.path.substr(path.size());
    }
    rename_aliases(member.value, path + member.key + ".");
  }
}

/// Fields that files name and flags do not.
void apply_fields(const Layer& inputs, Config& config, Problems& problems) {
  for (const auto& [path, said] : inputs.fields) {
    const std::string expected = set_field(config, field_at(path), said.text);
    if (!expected.empty()) {
      problems.add(said.place,
                   said.written + ": got '" + shown(said.text) + "', expected " + expected);
    } else {
      config.origins[path] = {said.written, said.place};
    }
  }
}

void fill_default_origins(Config& config) {
  for (const Field& field : fields()) {
    config.origins.emplace(field.path, Origin{"", "default"});
  }
}

/// How far parameters are fetched ahead is the plan's choice unless a number was given.
void open_choices(Config& config) {
  const Origin& prefetch = config.origins.at("zero.prefetch_bucket_size");
  config.zero.prefetch_auto =
      prefetch.place == "default" || prefetch.key.find(" auto ") != std::string::npos;
}

/// The parts in the order in which they depend on each other.
void resolve_parts(Context& context) {
  apply_document(context);
  for (auto* path :
       {&context.config.zero.optimizer_nvme_path, &context.config.zero.param_nvme_path}) {
    *path = with_home(*path, context.facts.environment);
  }
  resolve_optimizer(context);
  resolve_precision(context);
  resolve_schedule(context);
  resolve_batch(context);
  resolve_run(context);
  resolve_checkpoint(context);
}

}  // namespace

Config resolve(const std::vector<std::string>& args, const Facts& facts) {
  Config config;
  Problems problems("config.resolve");
  const Layer inputs = read_inputs(args, facts, problems, config.notices);
  apply_flags(inputs.flags, config, problems);
  apply_fields(inputs, config, problems);
  const auto document = open_document(inputs, facts.environment, problems, config.notices);
  Context context{inputs.flags, true, document.get(), facts, config, problems};
  resolve_parts(context);
  resolve_task(context);
  resolve_shape(context);
  check_paths(context);
  problems.throw_if_any(config.notices);
  fill_default_origins(config);
  open_choices(config);
  return config;
}

std::optional<Value> deepspeed_document(const std::vector<std::string>& args, const Facts& facts) {
  Problems problems("config.resolve");
  std::vector<std::string> notices;
  std::string name;
  const Layer inputs = read_inputs(args, facts, problems, notices);
  auto root = read_document(inputs, facts.environment, name, problems);
  problems.throw_if_any();
  if (root) rename_aliases(*root, "");
  return root;
}

Config from_deepspeed(const std::string& source, const Facts& facts) {
  Config config;
  Problems problems("config.from_deepspeed");
  const FlagValues no_flags;
  std::unique_ptr<DsDocument> document;
  const auto read = read_source({source, "--deepspeed", kCommandLine}, problems);
  if (auto root = read ? parse_source(*read, facts.environment, problems) : std::nullopt) {
    document = std::make_unique<DsDocument>(std::move(*root), read->name, problems, config.notices);
  }
  Context context{no_flags, false, document.get(), facts, config, problems};
  if (document != nullptr) resolve_parts(context);
  problems.throw_if_any(config.notices);
  fill_default_origins(config);
  open_choices(config);
  return config;
}

}  // namespace zt::config
