#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/ds_schema.h"
#include "config/json_reader.h"
#include "config/problems.h"

namespace zt::config {

/// A key of the user's file.
struct DsEntry {
  const Value* value = nullptr;
  std::string written;  ///< path as the user wrote it
  int line = 0;
  std::string place;  ///< where it was said, when that is not the document itself
};

/// A DeepSpeed JSON document checked against the schema: names and types are right, every key is
/// found under its canonical path, refused features and notices are reported.
class DsDocument {
 public:
  /// `name` is the file's name in messages.
  DsDocument(Value root, std::string name, Problems& problems, std::vector<std::string>& notices);
  DsDocument(const DsDocument&) = delete;
  DsDocument& operator=(const DsDocument&) = delete;

  /// The key at its canonical path; null when absent, JSON null, or of a wrong type.
  [[nodiscard]] const DsEntry* find(const std::string& path) const;
  /// True for a key whose value is `"auto"`.
  [[nodiscard]] bool is_auto(const std::string& path) const;
  /// A boolean's value; `fallback` when absent or `"auto"`.
  [[nodiscard]] bool boolean(const std::string& path, bool fallback) const;
  /// `zero2.json:12`.
  [[nodiscard]] std::string place(const DsEntry& entry) const {
    return entry.place.empty() ? place(entry.line) : entry.place;
  }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  [[nodiscard]] std::string place(int line) const { return name_ + ":" + std::to_string(line); }
  void check_members(const std::string& path, const DsEntry& object);
  /// A file of something else would mean a run without ZeRO.
  void require_known_key();
  void check_member(const Member& member, const std::string& path, const DsEntry& object);
  void check_section(const DsSection& section, const DsEntry& entry);
  void check_key(const DsKey& key, const DsEntry& entry);
  void report_unknown(const Member& member, const std::string& path, const std::string& written,
                      const std::string& where);
  void report_switch(const DsSection& section, const DsEntry& entry);
  [[nodiscard]] std::string canonical(const std::string& path, const DsEntry& entry);

  Value root_;
  std::string name_;
  Problems& problems_;
  std::vector<std::string>& notices_;
  std::map<std::string, DsEntry> entries_;
  int num_unknown_ = 0;
};

/// What a key of this type holds, when `value` is something else; otherwise empty.
[[nodiscard]] std::string ds_type_error(const DsKey& key, const Value& value);

}  // namespace zt::config
