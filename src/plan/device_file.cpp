#include "plan/device_file.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace zt::plan {

using Json = nlohmann::ordered_json;

void to_json(Json& json, const GemmTime& time) {
  json = {time.rows,
          time.in,
          time.out,
          time.forward,
          time.grad_input,
          time.grad_weight,
          time.grad_weight_half};
}
void from_json(const Json& json, GemmTime& time) {
  time = {json.at(0), json.at(1), json.at(2), json.at(3), json.at(4), json.at(5), json.at(6)};
}
void to_json(Json& json, const AttentionTime& time) {
  json = {time.batch,    time.sequence,      time.q_heads, time.kv_heads,
          time.head_dim, time.deterministic, time.forward, time.backward};
}
void from_json(const Json& json, AttentionTime& time) {
  time = {json.at(0), json.at(1), json.at(2), json.at(3),
          json.at(4), json.at(5), json.at(6), json.at(7)};
}
void to_json(Json& json, const KernelTime& time) {
  json = {time.name, time.width, time.bytes, time.seconds};
}
void from_json(const Json& json, KernelTime& time) {
  time = {json.at(0), json.at(1), json.at(2), json.at(3)};
}
void to_json(Json& json, const OverlapTime& time) {
  json = {time.rows, time.compute_lost, time.link_factor};
}
void from_json(const Json& json, OverlapTime& time) { time = {json.at(0), json.at(1), json.at(2)}; }

DeviceFile read_device_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    throw FileError("[plan.device_file] cannot read " + path +
                    ". zt bench --calibrate FILE writes such a file.");
  }
  try {
    const auto json = Json::parse(file);
    DeviceFile device;
    device.device = json.at("device");
    device.world = json.at("world");
    device.gemms = json.at("gemms").get<std::vector<GemmTime>>();
    device.attention = json.at("attention").get<std::vector<AttentionTime>>();
    device.kernels = json.at("kernels").get<std::vector<KernelTime>>();
    device.overlaps = json.at("overlaps").get<std::vector<OverlapTime>>();
    device.gather_rate = json.at("gather_bytes_per_second");
    device.exchange_rate = json.at("exchange_bytes_per_second");
    device.link_latency = json.at("link_seconds");
    if (const auto host = json.find("host_bytes_per_second"); host != json.end()) {
      device.host = {host->at("download"), host->at("upload"), host->at("adamw"),
                     host->at("disk_read"), host->at("disk_write")};
    }
    const bool usable =
        !device.kernels.empty() && !device.gemms.empty() && !device.attention.empty();
    if (!usable) throw FileError("[plan.device_file] " + path + " has no times.");
    return device;
  } catch (const nlohmann::json::exception& error) {
    throw FileError("[plan.device_file] " + path + " is not what zt bench --calibrate writes: " +
                    error.what() + ". Measure again.");
  }
}

void write_device_file(const std::string& path, const DeviceFile& device) {
  const Json json{
      {"device", device.device},
      {"world", device.world},
      {"gather_bytes_per_second", device.gather_rate},
      {"exchange_bytes_per_second", device.exchange_rate},
      {"link_seconds", device.link_latency},
      {"host_bytes_per_second",
       {{"download", device.host.download},
        {"upload", device.host.upload},
        {"adamw", device.host.optimizer},
        {"disk_read", device.host.disk_read},
        {"disk_write", device.host.disk_write}}},
      {"overlap_columns", {"rows", "compute_lost", "link_factor"}},
      {"overlaps", device.overlaps},
      {"gemm_columns",
       {"rows", "in", "out", "forward", "grad_input", "grad_weight_fp32", "grad_weight_16bit"}},
      {"gemms", device.gemms},
      {"attention_columns",
       {"batch", "sequence", "q_heads", "kv_heads", "head_dim", "deterministic", "forward",
        "backward"}},
      {"attention", device.attention},
      {"kernel_columns", {"name", "width", "bytes", "seconds"}},
      {"kernels", device.kernels}};
  std::ofstream file(path);
  file << json.dump(1) << '\n';
  if (!file.flush()) throw FileError("[plan.device_file] cannot write " + path + ".");
}

}  // namespace zt::plan
