#include "zerotrain/config.h"

#include "config/resolve.h"

namespace zt {

Config config_from_deepspeed(const std::string& source, int world) {
  config::Facts facts;
  facts.world_size = world;
  facts.environment = config::all_variables();
  return config::from_deepspeed(source, facts);
}

}  // namespace zt
