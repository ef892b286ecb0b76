#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

#include "kernels/cuda_test/device_buffer.h"

namespace zt::kernels::cuda_test {

inline Launch where(bool on_device) { return on_device ? device_launch() : host_launch(); }
inline View side(Buffer& buffer, bool on_device) {
  return on_device ? buffer.device() : buffer.host();
}

/// Runs `body` twice on the device, expecting the same bits, then on the host.
template <typename Body>
void run_everywhere(const std::vector<Buffer*>& outputs, Body body) {
  body(true);
  std::vector<std::vector<std::byte>> first;
  for (Buffer* buffer : outputs) {
    first.push_back(buffer->device_bytes());
    buffer->upload();
  }
  body(true);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    ASSERT_EQ(outputs[i]->device_bytes(), first[i]) << "two runs differ in output " << i;
  }
  body(false);
}

}  // namespace zt::kernels::cuda_test
