#include <algorithm>

#include "config/accelerate.h"
#include "config/ds_document.h"
#include "config/text_distance.h"
#include "config/text_values.h"
#include "config/tools.h"

namespace zt::config {
namespace {

using Fate = Migration::Fate;

/// What becomes of the leaves of DeepSpeed JSON, by its table.
class DsMigration {
 public:
  DsMigration(std::string name, std::vector<Migration>& lines)
      : name_(std::move(name)), lines_(lines) {}

  void walk(const Value& object, const std::string& path, const std::string& written) {
    for (const Member& member : object.members) {
      const std::string below = path.empty() ? member.key : path + "." + member.key;
      const std::string shown_as = written.empty() ? member.key : written + "." + member.key;
      take(member, canonical(below), shown_as);
    }
  }

 private:
  static std::string canonical(const std::string& path) {
    for (const DsAlias& alias : ds_aliases()) {
      if (alias.alias == path) return alias.path;
    }
    return path;
  }

  void add(const Member& member, const std::string& written, Fate fate, const std::string& text) {
    lines_.push_back({name_ + ":" + std::to_string(member.line), written,
                      describe_value(member.value), fate, text});
  }

  void take(const Member& member, const std::string& path, const std::string& written) {
    const DsSection* section = find_ds_section(path);
    if (section != nullptr && member.value.is(Value::Kind::object)) {
      if (section->open || (!section->note.empty() && section->refused_if_on)) {
        take_feature(*section, member, written);
      } else if (!section->note.empty()) {
        add(member, written, Fate::ignored, section->note);
      } else {
        walk(member.value, path, written);
      }
      return;
    }
    const DsKey* key = find_ds_key(path);
    if (key == nullptr) {
      const Nearest close = nearest(member.key, ds_names_in(parent(path)));
      add(member, written, close.distance <= 1 ? Fate::refused : Fate::ignored,
          "unknown key, the nearest is " + close.name);
      return;
    }
    take_key(*key, member, written);
  }

  void take_feature(const DsSection& section, const Member& member, const std::string& written) {
    const Value* given =
        section.switch_key.empty() ? nullptr : member.value.find(section.switch_key);
    const bool is_on =
        given != nullptr ? parse_bool(given->text).value_or(false) : section.on_by_default;
    const bool refused = section.refused_if_on && is_on;
    add(member, written, refused ? Fate::refused : Fate::ignored, section.note);
  }

  void take_key(const DsKey& key, const Member& member, const std::string& written) {
    const std::string expected =
        member.value.is_auto() ? std::string() : ds_type_error(key, member.value);
    if (!expected.empty()) {
      add(member, written, Fate::refused,
          "got " + describe_value(member.value) + ", expected " + expected);
    } else if (key.use == KeyUse::effect) {
      std::string text = key.note;
      if (!key.field.empty()) text = key.field + ": " + text;
      if (!key.flag.empty()) text = "--" + key.flag + ", " + text;
      if (member.value.is_auto()) text += " (filled from the flag, the model or the run)";
      add(member, written, Fate::maps, text);
    } else {
      const bool quiet =
          key.quiet == "*" || is_listed(member.value.text, key.quiet) || member.value.is_auto();
      const bool refused = key.use == KeyUse::refused && !quiet;
      add(member, written, refused ? Fate::refused : Fate::ignored, key.note);
    }
  }

  static std::string parent(const std::string& path) {
    const std::size_t dot = path.rfind('.');
    return dot == std::string::npos ? "" : path.substr(0, dot);
  }

  std::string name_;
  std::vector<Migration>& lines_;
};

void add_flags(const Layer& layer, std::vector<Migration>& lines) {
  for (const auto& [name, said] : layer.flags.all()) {
    const Flag& flag = *find_flag(name);
    Migration line{said.place, said.written, shown(said.text), Fate::maps, ""};
    if (flag.use == FlagUse::applies) {
      line.text =
          "--" + flag.name + (flag.field.empty() ? "" : ", " + flag.field) + ": " + flag.help;
    } else {
      const bool quiet = is_listed(said.text, flag.values);
      line.fate = flag.use == FlagUse::refused && !quiet ? Fate::refused : Fate::ignored;
      line.text = flag.help;
    }
    lines.push_back(line);
  }
  for (const auto& [field, said] : layer.fields) {
    lines.push_back({said.place, said.written, shown(said.text), Fate::maps, field});
  }
}

int line_of(const std::string& place) {
  const std::size_t colon = place.rfind(':');
  if (colon == std::string::npos) return 0;
  return static_cast<int>(parse_integer(place.substr(colon + 1)).value_or(0));
}

}  // namespace

std::vector<Migration> migrate_file(const std::string& path, const Facts& facts) {
  Problems reading("config.migrate");
  const std::optional<Value> root = read_config_file(path, facts.environment, reading);
  reading.throw_if_any();
  std::vector<Migration> lines;
  Problems problems("config.migrate");
  std::vector<std::string> notices;
  Layer layer;
  const FileKind kind = kind_of(*root);
  if (kind == FileKind::deepspeed) {
    DsMigration(path, lines).walk(*root, "", "");
  } else if (kind == FileKind::accelerate) {
    layer = read_accelerate_layer(*root, path, problems);
  } else {
    layer = read_task_layer(*root, path, facts.task, problems, notices);
  }
  add_flags(layer, lines);
  if (layer.deepspeed) DsMigration(path, lines).walk(*layer.deepspeed, "", "");
  for (const Problem& problem : problems.all()) {
    lines.push_back({problem.place, "", "", Fate::refused, problem.text});
  }
  std::stable_sort(lines.begin(), lines.end(), [](const Migration& a, const Migration& b) {
    return line_of(a.place) < line_of(b.place);
  });
  return lines;
}

}  // namespace zt::config
