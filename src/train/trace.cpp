#include "train/trace.h"

#include <nlohmann/json.hpp>

namespace zt::train {

std::string chrome_trace(const std::vector<TraceEvent>& events, int rank) {
  using nlohmann::json;
  json list = json::array();
  list.push_back({{"ph", "M"},
                  {"name", "process_name"},
                  {"pid", rank},
                  {"args", {{"name", "rank " + std::to_string(rank)}}}});
  for (int s = 0; s < schedule::kNumStreams; ++s) {
    list.push_back({{"ph", "M"},
                    {"name", "thread_name"},
                    {"pid", rank},
                    {"tid", s},
                    {"args", {{"name", schedule::to_string(static_cast<schedule::Stream>(s))}}}});
  }
  constexpr double kMicroseconds = 1e6;
  for (const auto& event : events) {
    list.push_back({{"ph", "X"},
                    {"name", event.name},
                    {"cat", event.variant},
                    {"pid", rank},
                    {"tid", static_cast<int>(event.stream)},
                    {"ts", event.begin * kMicroseconds},
                    {"dur", (event.end - event.begin) * kMicroseconds}});
  }
  return json{{"traceEvents", std::move(list)}, {"displayTimeUnit", "ms"}}.dump();
}

}  // namespace zt::train
