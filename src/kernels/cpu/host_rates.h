#pragma once

#include "memory/view.h"

namespace zt::kernels::cpu {

/// x = x * 0.999 + 0.001 over fp32 in place, in this processor's widest vectors: reads 4 bytes and
/// writes 4 per element. What the host's optimizer is measured against.
void read_modify_write(const View& values, memory::HostPool& pool);

/// to = from, past the caches where vectors allow: reads and writes every byte once. Sizes equal.
void copy_parallel(const View& from, const View& to, memory::HostPool& pool);

}  // namespace zt::kernels::cpu
