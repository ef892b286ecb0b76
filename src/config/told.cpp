#include "config/told.h"

#include "config/flags.h"

namespace zt::config {

Told read_told(const std::vector<std::string>& args) {
  Problems others("config.told");
  std::vector<std::string> notices;
  const FlagValues flags = parse_flags(args, others, notices);
  Told told;
  told.dry_run = flags.boolean("dry_run", false);
  told.check_memory = flags.boolean("check_memory", false);
  if (const std::string* device = flags.find("device")) told.device = *device;
  return told;
}

}  // namespace zt::config
