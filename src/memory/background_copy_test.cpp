#include "memory/background_copy.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"

namespace zt::memory {
namespace {

View view_of(std::vector<std::uint8_t>& bytes) {
  return {bytes.data(), static_cast<std::int64_t>(bytes.size()), DType::u8};
}

TEST(BackgroundCopyTest, WaitReturnsWhenEveryByteIsThere) {
  constexpr std::size_t kSize = 32 << 20;
  std::vector<std::uint8_t> from(kSize, 1), to(kSize, 0), more(kSize, 0);
  BackgroundCopy copy(Device::cpu, 0);
  copy.wait();  // nothing started
  for (std::uint8_t round = 2; round < 5; ++round) {
    copy.start({{view_of(from), view_of(to)}, {view_of(from), view_of(more)}});
    EXPECT_THROW(copy.start({}), InternalError);
    copy.wait();
    EXPECT_EQ(to, from);
    EXPECT_EQ(more, from);
    from.assign(kSize, round);
  }
}

TEST(BackgroundCopyTest, AFailureReachesWhoWaits) {
  std::vector<std::uint8_t> from(4), to(3);
  BackgroundCopy copy(Device::cpu, 0);
  copy.start({{view_of(from), view_of(to)}});
  EXPECT_THROW(copy.wait(), InternalError);
}

}  // namespace
}  // namespace zt::memory
