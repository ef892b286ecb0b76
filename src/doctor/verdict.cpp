#include "doctor/verdict.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace zt::doctor {
namespace {

const char* name_of(Level level) {
  switch (level) {
    case Level::good:
      return "ok";
    case Level::notice:
      return "note";
    case Level::bad:
      return "FAIL";
    case Level::skipped:
      return "skip";
  }
  return "";
}

}  // namespace

std::string line(const Verdict& verdict) {
  std::string text = name_of(verdict.level);
  text.resize(6, ' ');
  text += verdict.check + ": " + verdict.text;
  return verdict.remedy.empty() ? text : text + ". " + verdict.remedy + ".";
}

std::string json_report(const Verdicts& verdicts) {
  nlohmann::json checks = nlohmann::json::array();
  for (const Verdict& verdict : verdicts) {
    nlohmann::json row = {{"check", verdict.check},
                          {"level", name_of(verdict.level)},
                          {"text", verdict.text},
                          {"remedy", verdict.remedy}};
    if (!verdict.unit.empty()) {
      row["value"] = verdict.value;
      row["unit"] = verdict.unit;
    }
    checks.push_back(std::move(row));
  }
  const nlohmann::json report = {{"ok", exit_code(verdicts) == 0}, {"checks", checks}};
  return report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

int exit_code(const Verdicts& verdicts) {
  const bool bad = std::any_of(verdicts.begin(), verdicts.end(),
                               [](const Verdict& verdict) { return verdict.level == Level::bad; });
  return bad ? 5 : 0;
}

std::string size_text(double bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < kUnits.size(); ++unit) bytes /= 1024;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", bytes, kUnits[unit]);
  return text.data();
}

}  // namespace zt::doctor
