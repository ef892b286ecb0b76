#include "config/layer.h"
#include "config/presets.h"
#include "config/text_values.h"
#include "config/yaml_reader.h"

namespace zt::config {

Layer read_preset_layer(const FlagValue& preset, Task task, Problems& problems,
                        std::vector<std::string>& notices) {
  Layer layer;
  layer.name = "preset " + shown(preset.text);
  if (const char* text = preset_text(preset.text)) {
    return read_task_layer(read_yaml(text, layer.name), layer.name, task, problems, notices);
  }
  std::string names;
  for (const auto& known : preset_names()) names += " " + known;
  problems.add(preset.place,
               preset.written + ": got '" + shown(preset.text) + "', expected one of" + names);
  return layer;
}

}  // namespace zt::config
