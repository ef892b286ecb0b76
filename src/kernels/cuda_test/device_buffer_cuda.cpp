#include "kernels/cuda_test/device_buffer.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>

#include "kernels/cpu/half.h"

namespace zt::kernels::cuda_test {
namespace {

constexpr std::int64_t kGuard = 256;  ///< bytes before and after the elements
constexpr int kGuardByte = 0xa5;

void check(cudaError_t status) {
  if (status != cudaSuccess) {
    throw DeviceError(std::string("[kernels.cuda_test] got ") + cudaGetErrorString(status) +
                      ", expected success. See the kernel that ran before.");
  }
}

template <typename T>
void put(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof(T));
}
template <typename T>
T get(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

void encode_one(std::byte* at, double value, DType dtype) {
  switch (dtype) {
    case DType::f32:
      return put(at, static_cast<float>(value));
    case DType::bf16:
      return put(at, cpu::from_float<cpu::Bf16>(static_cast<float>(value)));
    case DType::f16:
      return put(at, cpu::from_float<cpu::F16>(static_cast<float>(value)));
    case DType::i64:
      return put(at, static_cast<std::int64_t>(value));
    case DType::i32:
      return put(at, static_cast<std::int32_t>(value));
    case DType::u8:
      return put(at, static_cast<std::uint8_t>(value));
  }
}

double decode_one(const std::byte* at, DType dtype) {
  switch (dtype) {
    case DType::f32:
      return get<float>(at);
    case DType::bf16:
      return cpu::to_float(get<cpu::Bf16>(at));
    case DType::f16:
      return cpu::to_float(get<cpu::F16>(at));
    case DType::i64:
      return static_cast<double>(get<std::int64_t>(at));
    case DType::i32:
      return get<std::int32_t>(at);
    case DType::u8:
      return get<std::uint8_t>(at);
  }
  return 0;
}

}  // namespace

Buffer::Buffer(const std::vector<double>& values, DType dtype, std::int64_t shift)
    : numel_(static_cast<std::int64_t>(values.size())), shift_(shift), dtype_(dtype) {
  const auto width = static_cast<std::size_t>(size_of(dtype).value);
  host_.resize(std::max<std::size_t>(values.size(), 1) * width);
  for (std::size_t i = 0; i < values.size(); ++i) {
    encode_one(host_.data() + i * width, values[i], dtype);
  }
  check(cudaMalloc(&allocation_, static_cast<std::size_t>(2 * kGuard) + host_.size() +
                                     static_cast<std::size_t>(shift) * width));
  upload();
}

Buffer::~Buffer() { cudaFree(allocation_); }

void Buffer::upload() {
  const View view = device();
  auto* first = static_cast<std::byte*>(allocation_);
  const auto before = static_cast<std::size_t>(static_cast<std::byte*>(view.data) - first);
  const auto bytes = static_cast<std::size_t>(view.bytes().value);
  check(cudaMemset(first, kGuardByte, before));
  check(cudaMemcpy(view.data, host_.data(), bytes, cudaMemcpyHostToDevice));
  check(cudaMemset(first + before + bytes, kGuardByte, kGuard));
}

View Buffer::host() { return {host_.data(), numel_, dtype_}; }

View Buffer::device() const {
  return {static_cast<std::byte*>(allocation_) + kGuard + shift_ * size_of(dtype_).value, numel_,
          dtype_};
}

std::vector<std::byte> Buffer::host_bytes() const {
  return {host_.begin(), host_.begin() + numel_ * size_of(dtype_).value};
}

std::vector<std::byte> Buffer::device_bytes() const {
  check(cudaDeviceSynchronize());
  const View view = device();
  const auto* first = static_cast<const std::byte*>(allocation_);
  const auto before = static_cast<std::size_t>(static_cast<std::byte*>(view.data) - first);
  const auto bytes = static_cast<std::size_t>(view.bytes().value);
  std::vector<std::byte> all(before + bytes + kGuard);
  check(cudaMemcpy(all.data(), first, all.size(), cudaMemcpyDeviceToHost));
  const auto is_guard = [](std::byte byte) { return byte == std::byte{kGuardByte}; };
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(before);
  const auto end = begin + static_cast<std::ptrdiff_t>(bytes);
  if (!std::all_of(all.begin(), begin, is_guard) || !std::all_of(end, all.end(), is_guard)) {
    throw DeviceError(
        "[kernels.cuda_test] a kernel wrote outside its view: got changed guard bytes, expected "
        "none. See the kernel that ran before.");
  }
  return {begin, end};
}

std::vector<double> Buffer::decode(const std::vector<std::byte>& bytes) const {
  const auto width = static_cast<std::size_t>(size_of(dtype_).value);
  std::vector<double> values(bytes.size() / width);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = decode_one(bytes.data() + i * width, dtype_);
  }
  return values;
}

std::vector<double> Buffer::host_values() const { return decode(host_bytes()); }
std::vector<double> Buffer::device_values() const { return decode(device_bytes()); }

Memory::Memory(std::int64_t numel, DType dtype) : view_{nullptr, numel, dtype} {
  const auto bytes = static_cast<std::size_t>(view_.bytes().value);
  if (cudaMalloc(&view_.data, bytes) != cudaSuccess ||
      cudaMemset(view_.data, 0x3c, bytes) != cudaSuccess) {
    throw DeviceError("[kernels.cuda_test] the device has too little memory for the table.");
  }
}

Memory::~Memory() { cudaFree(view_.data); }

std::vector<double> normal(std::int64_t count, unsigned seed, double scale, double mean) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> draw(mean, scale);
  std::vector<double> values(static_cast<std::size_t>(count));
  std::generate(values.begin(), values.end(), [&] { return draw(engine); });
  return values;
}

std::vector<double> integers(std::int64_t count, unsigned seed, std::int64_t limit) {
  std::mt19937 engine(seed);
  std::uniform_int_distribution<std::int64_t> draw(0, limit - 1);
  std::vector<double> values(static_cast<std::size_t>(count));
  std::generate(values.begin(), values.end(), [&] { return static_cast<double>(draw(engine)); });
  return values;
}

std::vector<double> zeros(std::int64_t count) {
  return std::vector<double>(static_cast<std::size_t>(count));
}

bool has_device() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

Launch device_launch() { return {Device::cuda, cudaStreamPerThread}; }

void synchronize() { check(cudaDeviceSynchronize()); }

double seconds_of_calls(void (*call)(void*), void* context) {
  constexpr int kWarmups = 3;
  constexpr int kRepetitions = 15;
  auto* stream = static_cast<cudaStream_t>(device_launch().stream);
  cudaEvent_t start = nullptr;
  cudaEvent_t stop = nullptr;
  check(cudaEventCreate(&start));
  check(cudaEventCreate(&stop));
  std::vector<double> seconds;
  for (int turn = 0; turn < kWarmups + kRepetitions; ++turn) {
    check(cudaEventRecord(start, stream));
    call(context);
    check(cudaEventRecord(stop, stream));
    check(cudaEventSynchronize(stop));
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, start, stop));
    if (turn >= kWarmups) {
      seconds.push_back(milliseconds * 1e-3);
    }
  }
  check(cudaEventDestroy(start));
  check(cudaEventDestroy(stop));
  std::nth_element(seconds.begin(), seconds.begin() + kRepetitions / 2, seconds.end());
  return seconds[kRepetitions / 2];
}

double unit(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return 0x1p-7;
    case DType::f16:
      return 0x1p-10;
    default:
      return 0x1p-18;
  }
}

std::string compare(const std::vector<double>& got, const std::vector<double>& want, double unit,
                    double floor) {
  if (got.size() != want.size()) {
    return fmt::format("{} elements, expected {}", got.size(), want.size());
  }
  double largest = 0;
  for (const double value : want) {
    largest = std::max(largest, std::abs(value));
  }
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(got[i] - want[i]);
    if (!(error <= unit * (2 * std::abs(want[i]) + largest) + floor) && got[i] != want[i]) {
      return fmt::format("element {} of {}: got {}, expected {}", i, got.size(), got[i], want[i]);
    }
  }
  return {};
}

}  // namespace zt::kernels::cuda_test
