#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "memory/view.h"

namespace zt::kernels::cuda_test {

/// The same elements on the host and on the device, each between guard bytes that no kernel may
/// touch. `shift` elements of misalignment are put before the device copy.
class Buffer {
 public:
  /// Rounds `values` to `dtype` (floats and integers alike).
  Buffer(const std::vector<double>& values, DType dtype, std::int64_t shift = 0);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  [[nodiscard]] View host();
  [[nodiscard]] View device() const;
  /// Host elements as double.
  [[nodiscard]] std::vector<double> host_values() const;
  /// Waits for the device and copies its elements back. Errors: DeviceError, also when a guard byte
  /// was overwritten.
  [[nodiscard]] std::vector<double> device_values() const;
  [[nodiscard]] std::vector<std::byte> device_bytes() const;
  [[nodiscard]] std::vector<std::byte> host_bytes() const;
  /// Copies the host elements to the device again.
  void upload();

 private:
  [[nodiscard]] std::vector<double> decode(const std::vector<std::byte>& bytes) const;

  std::int64_t numel_, shift_;
  DType dtype_;
  std::vector<std::byte> host_;
  void* allocation_ = nullptr;
};

/// Device memory filled with bytes 0x3c, 0.0115 in fp32 and bf16, for tables of times.
/// Errors: DeviceError when the device has too little.
class Memory {
 public:
  Memory(std::int64_t numel, DType dtype);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  operator View() const { return view_; }  // NOLINT: stands for its view in calls of kernels

 private:
  View view_;
};

inline constexpr double kCopyRate = 4.3e12;  ///< bytes per second of a large copy on an H200

/// `count` normal values; the same for the same seed.
std::vector<double> normal(std::int64_t count, unsigned seed, double scale = 1.0, double mean = 0);
/// `count` integers in [0, limit).
std::vector<double> integers(std::int64_t count, unsigned seed, std::int64_t limit);
std::vector<double> zeros(std::int64_t count);

/// Launches on one stream of the process's first device; skips the whole program when it has none.
Launch device_launch();
inline Launch host_launch() { return {Device::cpu, nullptr}; }
bool has_device();
void synchronize();

/// Median seconds of one call of `body`, timed by events over several repetitions.
template <typename Body>
double seconds_of(Body body);
double seconds_of_calls(void (*call)(void*), void* context);
template <typename Body>
double seconds_of(Body body) {
  return seconds_of_calls([](void* context) { (*static_cast<Body*>(context))(); }, &body);
}

/// Spacing of the values of `dtype` relative to their size (fp32: an allowance for long sums).
double unit(DType dtype);

/// Half the spacing of fp32 numbers relative to their size: the error of one rounding.
inline constexpr double kFp32Rounding = 0x1p-24;

/// Empty when every |got - want| <= unit * (2 |want| + max |want|) + floor; else says where.
/// `floor` is for results of which nothing may be left but roundings: the number of roundings times
/// kFp32Rounding times the size of the terms that cancel.
std::string compare(const std::vector<double>& got, const std::vector<double>& want, double unit,
                    double floor = 0);

}  // namespace zt::kernels::cuda_test
