#pragma once

#include "kernels/cross_entropy/cross_entropy.h"

namespace zt::kernels {

void cross_entropy_cpu(const CrossEntropy& io, std::int64_t rows, std::int64_t vocab, double scale);
void cross_entropy_cuda(const CrossEntropy& io, std::int64_t rows, std::int64_t vocab, double scale,
                        void* stream);

}  // namespace zt::kernels
