#include "config/ds_document.h"

#include "config/flags.h"
#include "config/text_distance.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

bool is_scalar(const Value& value) {
  return value.kind == Value::Kind::boolean || value.kind == Value::Kind::number ||
         value.kind == Value::Kind::text;
}

/// Sections whose numbers and booleans DeepSpeed does not accept as null.
bool refuses_null(const DsKey& key) {
  if (key.type != KeyType::boolean && key.type != KeyType::integer && key.type != KeyType::real) {
    return false;
  }
  if (key.path == "zero_optimization.overlap_comm") return false;
  for (const char* section : {"zero_optimization.", "fp16.", "bf16."}) {
    if (key.path.rfind(section, 0) == 0) return true;
  }
  return false;
}

/// True when the value asks for what happens anyway.
bool is_quiet(const DsKey& key, const Value& value) {
  if (key.quiet == "*" || value.is(Value::Kind::null) || value.is_auto()) return true;
  if (key.quiet.empty() || !is_scalar(value)) return false;
  if (is_listed(value.text, key.quiet)) return true;
  if (key.type == KeyType::boolean) {
    const std::optional<bool> flag = parse_bool(value.text);
    return flag && is_listed(*flag ? "true" : "false", key.quiet);
  }
  const std::optional<double> number = parse_real(value.text);
  return number && is_listed(format_real(*number), key.quiet);
}

/// True when anything below `value` is switched on: `enabled: true` at any depth.
bool has_enabled(const Value& value) {
  for (const Member& member : value.members) {
    if (member.key == "enabled" && parse_bool(member.value.text).value_or(false)) return true;
    if (has_enabled(member.value)) return true;
  }
  return false;
}

std::string join(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "." + name;
}

/// The path that an alias stands for, else `path`.
std::string canonical_path(const std::string& path) {
  for (const DsAlias& alias : ds_aliases()) {
    if (alias.alias == path) return alias.path;
  }
  return path;
}

}  // namespace

std::string ds_type_error(const DsKey& key, const Value& value) {
  if (value.is(Value::Kind::null)) {
    return refuses_null(key) ? "a value, or leave the key out" : "";
  }
  switch (key.type) {
    case KeyType::boolean:
      return is_scalar(value) && parse_bool(value.text) ? "" : "true or false";
    case KeyType::integer:
      return is_scalar(value) && parse_integer(value.text) ? "" : "a whole number";
    case KeyType::real:
      return is_scalar(value) && parse_real(value.text) ? "" : "a finite number";
    case KeyType::text:
      return is_scalar(value) ? "" : "text";
    case KeyType::list:
      return value.is(Value::Kind::array) ? "" : "a list";
    case KeyType::object:
      return value.is(Value::Kind::object) ? "" : "an object";
    case KeyType::any:
      return "";
  }
  return "";
}

DsDocument::DsDocument(Value root, std::string name, Problems& problems,
                       std::vector<std::string>& notices)
    : root_(std::move(root)), name_(std::move(name)), problems_(problems), notices_(notices) {
  if (!root_.is(Value::Kind::object)) {
    problems_.add(place(root_.line),
                  "a DeepSpeed configuration is an object, got " + describe_value(root_));
    return;
  }
  check_members("", DsEntry{&root_, "", root_.line, ""});
  require_known_key();
}

void DsDocument::require_known_key() {
  const Member* first = nullptr;
  for (const Member& member : root_.members) {
    const std::string path = canonical_path(member.key);
    if (find_ds_section(path) != nullptr || find_ds_key(path) != nullptr) return;
    const bool is_comment = member.key.rfind('_', 0) == 0 || member.key.rfind("comment", 0) == 0;
    if (first == nullptr && !is_comment) first = &member;
  }
  if (first == nullptr) return;
  problems_.add(place(first->line),
                "this is no DeepSpeed configuration: none of its keys is one of DeepSpeed's, the "
                "first is " +
                    shown(first->key),
                "Name the file with zero_optimization, train_batch_size and the like");
}

const DsEntry* DsDocument::find(const std::string& path) const {
  const auto found = entries_.find(path);
  return found == entries_.end() ? nullptr : &found->second;
}

bool DsDocument::is_auto(const std::string& path) const {
  const DsEntry* entry = find(path);
  return entry != nullptr && entry->value->is_auto();
}

bool DsDocument::boolean(const std::string& path, bool fallback) const {
  const DsEntry* entry = find(path);
  if (entry == nullptr || entry->value->is_auto()) return fallback;
  return parse_bool(entry->value->text).value_or(fallback);
}

void DsDocument::check_members(const std::string& path, const DsEntry& object) {
  for (const Member& member : object.value->members) check_member(member, path, object);
}

std::string DsDocument::canonical(const std::string& path, const DsEntry& entry) {
  for (const DsAlias& alias : ds_aliases()) {
    if (alias.alias != path) continue;
    if (alias.deprecated) {
      notices_.push_back(entry.written + ": deprecated, use " + alias.path + " (" + place(entry) +
                         ")");
    }
    return alias.path;
  }
  return path;
}

void DsDocument::check_member(const Member& member, const std::string& path,
                              const DsEntry& object) {
  const DsEntry entry{&member.value,
                      member.written.empty() ? join(object.written, member.key) : member.written,
                      member.line, member.place.empty() ? object.place : member.place};
  if (path.empty() && member.key == "bfloat16" && root_.find("bf16") != nullptr) {
    notices_.push_back("bfloat16: no effect, bf16 is given too (" + place(entry) + ")");
    return;
  }
  const std::string full = canonical(join(path, member.key), entry);
  const DsSection* section = find_ds_section(full);
  const DsKey* key = find_ds_key(full);
  if (section == nullptr && key == nullptr) {
    report_unknown(member, path, object.written, place(entry));
    return;
  }
  const DsEntry* earlier = find(full);
  if (earlier != nullptr) {
    problems_.add(
        place(entry),
        entry.written + " and " + earlier->written + " are two names of one key (" +
            (earlier->place.empty() ? "line " + std::to_string(earlier->line) : earlier->place) +
            ")",
        "Keep one");
    return;
  }
  if (section != nullptr) {
    check_section(*section, entry);
  } else {
    check_key(*key, entry);
  }
}

void DsDocument::check_section(const DsSection& section, const DsEntry& entry) {
  const Value& value = *entry.value;
  if (value.is(Value::Kind::null)) return;
  const bool is_simple = is_scalar(value) && parse_bool(value.text).has_value();
  const bool is_true = is_simple && parse_bool(value.text).value_or(false);
  if (section.path == "zero_optimization" && is_simple) {
    entries_[section.path] = entry;
    return;
  }
  if ((section.refused_if_on || section.open || !section.switch_key.empty()) && is_simple &&
      !is_true) {
    return;
  }
  if (section.refused_if_on && is_true) {
    problems_.add(place(entry), entry.written + " is not supported", section.note);
    return;
  }
  if (!value.is(Value::Kind::object)) {
    problems_.add(place(entry),
                  entry.written + ": got " + describe_value(value) + ", expected an object");
    return;
  }
  entries_[section.path] = entry;
  if (!section.open) check_members(section.path, entry);
  report_switch(section, entry);
}

void DsDocument::report_switch(const DsSection& section, const DsEntry& entry) {
  const Value& value = *entry.value;
  if (section.note.empty()) return;
  bool is_on = section.on_by_default && !value.members.empty();
  if (!section.switch_key.empty()) {
    const Value* given = value.find(section.switch_key);
    if (given != nullptr) {
      is_on = parse_bool(given->text).value_or(false);
    } else if (section.open) {
      is_on = is_on || has_enabled(value);
    }
  }
  if (is_on && section.refused_if_on) {
    problems_.add(place(entry), entry.written + " is not supported", section.note);
  } else if (!is_on && !section.switch_key.empty()) {
    notices_.push_back(entry.written + ": accepted, it is switched off (" + place(entry) + ")");
  } else {
    const std::string what = section.switch_key.empty() ? "" : "." + section.switch_key;
    notices_.push_back(entry.written + what + ": no effect: " + section.note + " (" + place(entry) +
                       ")");
  }
}

void DsDocument::check_key(const DsKey& key, const DsEntry& entry) {
  const Value& value = *entry.value;
  if (!value.is_auto()) {
    const std::string expected = ds_type_error(key, value);
    if (!expected.empty()) {
      problems_.add(place(entry),
                    entry.written + ": got " + describe_value(value) + ", expected " + expected);
      return;
    }
  }
  if (value.is(Value::Kind::null)) return;
  entries_[key.path] = entry;
  if (key.use == KeyUse::effect || is_quiet(key, value)) return;
  if (key.use == KeyUse::refused) {
    problems_.add(place(entry), entry.written + ": " + describe_value(value) + " is not built yet",
                  key.note);
  } else {
    notices_.push_back(entry.written + ": no effect: " + key.note + " (" + place(entry) + ")");
  }
}

void DsDocument::report_unknown(const Member& member, const std::string& path,
                                const std::string& written, const std::string& where) {
  constexpr int kMostUnknown = 100;
  if (++num_unknown_ > kMostUnknown) {
    if (num_unknown_ == kMostUnknown + 1) {
      problems_.add(where, "more than 100 unknown keys, the others are not listed",
                    "This is not a DeepSpeed configuration");
    }
    return;
  }
  const DsSection* section = find_ds_section(path);
  const Nearest close = nearest(member.key, ds_names_in(path));
  const std::string full = shown(join(written, member.key));
  const std::string near =
      close.name.empty() ? "" : ", the nearest known key is " + join(written, close.name);
  if (section != nullptr && section->strict) {
    problems_.add(where, full + ": unknown key" + near);
  } else if (!close.name.empty() && close.distance <= 1) {
    problems_.add(where, full + ": unknown key, did you mean " + join(written, close.name) + "?");
  } else {
    const std::vector<std::string> elsewhere = ds_places_of(member.key, path);
    const std::string hint = elsewhere.empty() ? near : ", it belongs to " + elsewhere.front();
    notices_.push_back(full + ": unknown key, ignored" + hint + " (" + where + ")");
  }
}

}  // namespace zt::config
