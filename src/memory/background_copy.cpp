#include "memory/background_copy.h"

#include <utility>

#include "memory/arena.h"
#include "memory/cuda_impl.h"

namespace zt::memory {

BackgroundCopy::BackgroundCopy(Device device, int device_index)
    : device_(device), device_index_(device_index) {}

BackgroundCopy::~BackgroundCopy() {
  try {
    wait();
  } catch (const std::exception&) {
    // The copy is given up with its owner; whoever needed it has waited before and was told.
  }
  if (stream_ != nullptr) cuda::destroy_stream(stream_);
}

void BackgroundCopy::start(std::vector<Pair> pairs) {
  ZT_ASSERT(!started_, "copies under way");
  pairs_ = std::move(pairs);
  progress_.begin(1);
  started_ = true;
  worker_.post([this] {
    try {
      copy_all();
      progress_.complete(0);
    } catch (...) {
      progress_.fail(std::current_exception());
    }
  });
}

void BackgroundCopy::copy_all() {
  Launch launch{device_, nullptr};
  if (device_ == Device::cuda) {
    cuda::set_device(device_index_);
    if (stream_ == nullptr) stream_ = cuda::create_stream();
    launch.stream = stream_;
  }
  for (const auto& pair : pairs_) copy(pair.from, pair.to, launch);
  synchronize(launch);
}

void BackgroundCopy::wait() {
  if (!started_) return;
  progress_.wait_all(1);
  started_ = false;
}

}  // namespace zt::memory
