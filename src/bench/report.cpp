#include "bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace zt::bench {
namespace {

struct Speed {
  double step = 0, tokens_per_second = 0, mfu = 0;
};

Speed speed_of(const RowResult& result) {
  const double step = median(result.seconds);
  const double rate = result.tokens_per_rank / step;
  return {step, rate, rate * result.flops_per_token / kPeakFlops};
}

Shares shares(const RowResult& result, double step) {
  return shares_of(result.busy, result.ceiling_gemm, result.ceiling_attention, step);
}

}  // namespace

double median(std::vector<double> values) {
  ZT_ASSERT(!values.empty(), "a median needs values");
  std::sort(values.begin(), values.end());
  const auto middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::string json_row(const RowSetup& setup, const RowResult& result) {
  const auto speed = speed_of(result);
  const auto [fastest, slowest] = std::minmax_element(result.seconds.begin(), result.seconds.end());
  nlohmann::ordered_json row{{"model", setup.model},
                             {"device", setup.device},
                             {"world", setup.world},
                             {"stage", setup.stage},
                             {"sequence", setup.sequence},
                             {"micro_batch", setup.micro_batch},
                             {"accumulation", setup.accumulation},
                             {"coalesce", setup.coalesce},
                             {"recompute", setup.recompute},
                             {"reduce_at", setup.reduce_at},
                             {"reduce", setup.reduce},
                             {"retain", setup.retain},
                             {"deterministic", setup.deterministic},
                             {"cuda_graphs", setup.graphs},
                             {"compute", setup.compute},
                             {"gradients", setup.grads},
                             {"wire", setup.wire},
                             {"master", "fp32"},
                             {"moments", "fp32"},
                             {"steps", result.seconds.size()},
                             {"seconds", speed.step},
                             {"seconds_least", *fastest},
                             {"seconds_most", *slowest},
                             {"tokens_per_second_per_gpu", speed.tokens_per_second},
                             {"mfu", speed.mfu},
                             {"first_loss", result.first_loss},
                             {"last_loss", result.last_loss},
                             {"arena_bytes", result.arena.value},
                             {"library_bytes", result.library.value},
                             {"planned_bytes", result.planned.value},
                             {"used_bytes", result.used.value},
                             {"planned_host_bytes", result.planned_host.value},
                             {"allocations_after_step_2", result.allocations}};
  const auto& predicted = result.predicted;
  if (predicted.total() > 0) {
    row["predicted_seconds"] = predicted.total();
    row["predicted_parts"] = {{"gemm", predicted.gemm},
                              {"attention", predicted.attention},
                              {"kernels", predicted.kernels},
                              {"slowed", predicted.slowed},
                              {"exposed", predicted.exposed}};
    row["predicted_groups"] = predicted.groups;
  }
  if (result.ceiling > 0) {
    row["ceiling_tokens_per_second_per_gpu"] = result.tokens_per_rank / result.ceiling;
    row["share_of_ceiling"] = result.ceiling / speed.step;
  }
  if (result.busy.length > 0) {
    const auto parts = shares(result, speed.step);
    row["time_shares"] = {{result.ceiling > 0 ? "other_kernels" : "kernels", parts.other},
                          {"exposed_communication", parts.exposed},
                          {"idle", parts.idle}};
    if (result.ceiling > 0) {
      row["time_shares"]["gemm"] = parts.gemm;
      row["time_shares"]["attention"] = parts.attention;
    }
    row["communication_seconds"] = result.busy.communication;
    row["measured_groups"] = result.groups;
  }
  return row.dump();
}

std::string text_row(const RowSetup& setup, const RowResult& result) {
  const auto speed = speed_of(result);
  const auto [fastest, slowest] = std::minmax_element(result.seconds.begin(), result.seconds.end());
  auto text = fmt::format(
      "{} T{} mb{} x{} stage {} on {} {}: coalesce {}, recompute {}, reduce_at {}, retain {}{}{}\n",
      setup.model, setup.sequence, setup.micro_batch, setup.accumulation, setup.stage, setup.world,
      setup.device, setup.coalesce, setup.recompute, setup.reduce_at, setup.retain ? "on" : "off",
      setup.graphs ? ", graphs" : "", setup.deterministic ? ", deterministic" : "");
  text += fmt::format(
      "  {:.0f} tokens/s per rank, MFU {:.1f} %, step {:.2f} ms ({:.2f} to {:.2f}), loss {:.4f} to "
      "{:.4f}\n",
      speed.tokens_per_second, 100 * speed.mfu, 1e3 * speed.step, 1e3 * *fastest, 1e3 * *slowest,
      result.first_loss, result.last_loss);
  text += fmt::format("  arena {}, library {}, used {} (plan {}), {} allocations after step 2\n",
                      format_bytes(result.arena), format_bytes(result.library),
                      format_bytes(result.used), format_bytes(result.planned), result.allocations);
  if (result.planned_host.value > 0) {
    text += fmt::format("  host {} per rank (plan)\n", format_bytes(result.planned_host));
  }
  if (result.ceiling > 0) {
    text +=
        fmt::format("  ceiling {:.0f} tokens/s (GEMM {:.2f} ms, attention {:.2f} ms): {:.1f} %\n",
                    result.tokens_per_rank / result.ceiling, 1e3 * result.ceiling_gemm,
                    1e3 * result.ceiling_attention, 100 * result.ceiling / speed.step);
  }
  const auto& predicted = result.predicted;
  if (predicted.total() > 0) {
    text += fmt::format(
        "  predicted {:.2f} ms: {:+.1f} % (GEMM {:.2f}, attention {:.2f}, other kernels {:.2f}, "
        "slowed by communication {:.2f}, exposed {:.2f})\n",
        1e3 * predicted.total(), 100 * (predicted.total() / speed.step - 1), 1e3 * predicted.gemm,
        1e3 * predicted.attention, 1e3 * predicted.kernels, 1e3 * predicted.slowed,
        1e3 * predicted.exposed);
  }
  if (result.busy.length > 0) {
    const auto parts = shares(result, speed.step);
    text += "  time: ";
    if (result.ceiling > 0) {
      text += fmt::format("GEMM {:.1f} %, attention {:.1f} %, other ", 100 * parts.gemm,
                          100 * parts.attention);
    }
    text += fmt::format(
        "kernels {:.1f} %, exposed communication {:.1f} % (of {:.2f} ms), idle {:.1f} %\n",
        100 * parts.other, 100 * parts.exposed, 1e3 * result.busy.communication, 100 * parts.idle);
    text +=
        "  operations, ms" + std::string(predicted.total() > 0 ? " (predicted alone)" : "") + ":";
    for (const auto& [group, seconds] : result.groups) {
      text += fmt::format(" {} {:.2f}", group, 1e3 * seconds);
      const auto found = predicted.groups.find(group);
      if (found != predicted.groups.end()) text += fmt::format(" ({:.2f})", 1e3 * found->second);
      text += ',';
    }
    text.back() = '\n';
  }
  return text;
}

}  // namespace zt::bench
