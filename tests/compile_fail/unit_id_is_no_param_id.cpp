// A unit's index is not a parameter's index, even where the numbers agree.
#include "layout/layout.h"

int main() {
  const zt::layout::ParamId param{1};
#ifdef ZT_VIOLATION
  const zt::layout::UnitId other{1};
#else
  const zt::layout::ParamId other{1};
#endif
  return other == param ? 0 : 1;
}
