// A byte count and an element count do not add up.
#include "base/units.h"

int main() {
  const zt::Bytes bytes{8};
  const zt::Numel numel{2};
#ifdef ZT_VIOLATION
  return static_cast<int>((bytes + numel).value);
#else
  return static_cast<int>((bytes + zt::storage(numel, zt::DType::f32)).value);
#endif
}
