#pragma once

#include <string>
#include <vector>

namespace zt::doctor {

enum class Level { good, notice, bad, skipped };

/// What one check found.
struct Verdict {
  Level level = Level::good;
  std::string check;   ///< `gpu 0 memory`
  std::string text;    ///< what was found, with numbers
  std::string remedy;  ///< what to do; empty when good
  double value = -1;   ///< the number that counts, when there is one
  std::string unit;    ///< of it: `GB/s`, `bytes`
};

using Verdicts = std::vector<Verdict>;

/// `ok    check: text`, with the remedy behind it. Levels: ok, note, FAIL, skip.
[[nodiscard]] std::string line(const Verdict& verdict);
/// {"ok": bool, "checks": [{"check", "level", "text", "remedy", "value", "unit"}]}
[[nodiscard]] std::string json_report(const Verdicts& verdicts);
/// 0, or 5 (base/error.h: the machine) when a verdict is bad.
[[nodiscard]] int exit_code(const Verdicts& verdicts);

/// `1.5 GiB`.
[[nodiscard]] std::string size_text(double bytes);

}  // namespace zt::doctor
