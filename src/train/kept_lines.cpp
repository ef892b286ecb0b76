#include "train/kept_lines.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>

#include "base/error.h"

namespace zt::train {

std::int64_t keep_lines(
    const std::string& path,
    const std::function<std::optional<std::int64_t>(const std::string&)>& step_of,
    std::int64_t last) {
  std::ifstream from(path, std::ios::binary);
  if (!from) return 0;
  const std::string temporary = path + ".cut";
  std::ofstream to(temporary, std::ios::trunc | std::ios::binary);
  std::int64_t kept = 0;
  for (std::string line; std::getline(from, line); ++kept) {
    const auto step = step_of(line);
    if (!step || *step > last || from.eof()) break;  // eof: the line has no end
    to << line << '\n';
  }
  to.close();
  if (!to || std::rename(temporary.c_str(), path.c_str()) != 0) {
    throw FileError(fmt::format(
        "[train.resume] cannot cut {} to step {}. Is the disk full or read-only?", path, last));
  }
  return kept;
}

}  // namespace zt::train
