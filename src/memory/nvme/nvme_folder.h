#pragma once

#include <string>

namespace zt::memory {

/// The folder of one store, <path>/zerotrain/rank<5 digits>[.n], kept by a lock on its file `lock`.
///
/// Making one removes what crashed runs left below <path>/zerotrain: folders whose lock nobody
/// holds. A folder that a living process holds is passed over for the next number. The destructor
/// removes the folder and all in it.
class NvmeFolder {
 public:
  /// Errors: ConfigError where `path` is empty or cannot be made or written.
  NvmeFolder(const std::string& path, int rank);
  ~NvmeFolder();
  NvmeFolder(const NvmeFolder&) = delete;
  NvmeFolder& operator=(const NvmeFolder&) = delete;

  [[nodiscard]] const std::string& path() const { return folder_; }

 private:
  std::string folder_;
  int lock_ = -1;
};

}  // namespace zt::memory
