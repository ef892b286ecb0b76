#include "zero/disk.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"

namespace zt::zero {
namespace {

TEST(DiskTest, ADiskThatIsTooSmallIsRefusedWithWhatAllBuffersNeedThere) {
  std::string path = (std::filesystem::temp_directory_path() / "zt_disk_XXXXXX").string();
  ASSERT_NE(mkdtemp(path.data()), nullptr);
  const auto free = memory::free_disk(path);
  schedule::Program program;
  for (int i = 0; i < 3; ++i) {
    schedule::Buffer buffer;
    buffer.kind = schedule::BufferKind::exp_avg;
    buffer.index = i;
    buffer.where = Place::nvme;
    buffer.dtype = DType::f32;
    buffer.numel = {free.value};
    program.buffers.push_back(buffer);
  }
  config::ZeroConfig config;
  config.optimizer_nvme_path = path;
  std::string text;
  try {
    const Disk disk(program, config, {.rank = 1, .ranks = 4});
  } catch (const FileError& error) {
    text = error.what();
  }
  const auto whole = memory::on_disk(program.buffers[0].bytes()) * 3;
  EXPECT_NE(text.find("No space left on device: got "), std::string::npos) << text;
  EXPECT_NE(text.find("nvme_path " + path + " needs room for " + format_bytes(whole) +
                      " for rank 1, about " + format_bytes(whole * 4) +
                      " for the 4 ranks of this machine."),
            std::string::npos)
      << text;
  EXPECT_TRUE(std::filesystem::is_empty(path));  // nothing of it was reserved, nothing is left
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace zt::zero
