// An offset inside a unit is no offset inside a shard; only the layout converts between them.
#include "layout/layout.h"

namespace {
std::int64_t position(zt::layout::ShardOffset offset) { return offset.value; }
}  // namespace

int main() {
#ifdef ZT_VIOLATION
  return static_cast<int>(position(zt::layout::UnitOffset{4}));
#else
  return static_cast<int>(position(zt::layout::ShardOffset{4}));
#endif
}
