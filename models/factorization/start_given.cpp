// Reads starts; what was read last is kept.
#include "models/factorization/start_given.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "core/data/array_archive.hpp"
#include "core/data/array_file.hpp"
#include "core/data/netcdf_reader.hpp"
#include "core/error.hpp"
#include "models/data/recent.hpp"

namespace manyfold::factorization {
namespace {

namespace fs = std::filesystem;
using Sizes = std::vector<std::int64_t>;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::string shape_text(const Sizes& shape) { return Array{.shape = shape}.shape_text(); }
std::string layer_name(std::int64_t h) { return "W_" + std::to_string(h); }
Sizes layer_shape(const Shape& shape, std::int64_t h) {
  return {shape.layer_rows(h), shape.layer_cols(h)};
}

/// One thread at a time reads: the netCDF library is not thread-safe.
std::mutex& reading() {
  static std::mutex mutex;
  return mutex;
}

/// What reading says, with the key's place before it.
template <class Read>
auto with_place(const Settings& settings, const char* key, const Read& read) {
  try {
    return read();
  } catch (const InputError& error) {
    throw InputError(settings.location(key).text() + ": " + key + ": " + error.what());
  }
}

/// Rejects numbers that are not finite; `offset`: where they begin among all parameters.
void require_finite(const Settings& settings, const char* key, const std::vector<double>& values,
                    const std::string& file, const Shape& shape) {
  const auto bad =
      std::find_if(values.begin(), values.end(), [](double x) { return !std::isfinite(x); });
  if (bad == values.end()) return;
  const std::int64_t index = bad - values.begin();
  std::int64_t h = 1;
  while (index >= shape.layer_offset(h + 1)) ++h;
  const std::int64_t inside = index - shape.layer_offset(h);
  settings.reject(key,
                  file + " with " + std::to_string(*bad) + " in row " +
                      std::to_string(inside / shape.layer_cols(h)) + ", column " +
                      std::to_string(inside % shape.layer_cols(h)) + " of " + layer_name(h) +
                      " (counted from 0)",
                  "finite numbers");
}

// ---- files

/// One array as layer h.
void append_layer(const Settings& settings, const Array& array, const std::string& file,
                  const Shape& shape, std::int64_t h, std::vector<double>& layers) {
  if (array.shape != layer_shape(shape, h)) {
    settings.reject("init.path",
                    file + " with " + layer_name(h) + " of shape " + array.shape_text(),
                    shape_text(layer_shape(shape, h)) + ", as in the layers " + shape.text());
  }
  layers.insert(layers.end(), array.values.begin(), array.values.end());
}

/// All layers in one array: a vector (in .csv a row or a column), or the only layer itself.
std::vector<double> flat_layers(const Settings& settings, Array array, const std::string& file,
                                const Shape& shape) {
  const Sizes flat{shape.parameters()};
  const auto beside = std::count(array.shape.begin(), array.shape.end(), std::int64_t{1});
  const bool vector =
      !array.shape.empty() && beside >= static_cast<std::int64_t>(array.shape.size()) - 1;
  const bool only_layer = shape.layers() == 1 && array.shape == layer_shape(shape, 1);
  if (!only_layer && (!vector || array.values.size() != at(shape.parameters()))) {
    settings.reject("init.path", file + " with an array of shape " + array.shape_text(),
                    shape_text(flat) + ": the layers " + shape.text() +
                        ", W_1 first, each row by row" +
                        (shape.layers() > 1 ? ", or a list of one file for each layer" : ""));
  }
  return std::move(array.values);
}

std::vector<double> read_files(const Settings& settings, const std::vector<std::string>& paths,
                               const Shape& shape) {
  const auto read = [&](const std::string& path) {
    return with_place(settings, "init.path", [&] { return read_array(path); });
  };
  std::vector<double> layers;
  if (paths.size() == 1 && fs::path(paths.front()).extension() == ".nc") {
    const std::string& path = paths.front();
    with_place(settings, "init.path", [&] {
      const NetcdfReader reader(path);
      if (reader.find(layer_name(shape.layers() + 1)) != nullptr) {
        throw InputError(path + ": found a variable " + layer_name(shape.layers() + 1) +
                         ", expected the " + std::to_string(shape.layers()) + " layers " +
                         shape.text());
      }
    });
    for (std::int64_t h = 1; h <= shape.layers(); ++h) {
      const Array layer =
          with_place(settings, "init.path", [&] { return read_array(path, layer_name(h)); });
      append_layer(settings, layer, path, shape, h, layers);
    }
    return layers;
  }
  if (paths.size() == 1 && is_archive(paths.front())) {
    const std::string& path = paths.front();
    const std::vector<NamedArray> arrays =
        with_place(settings, "init.path", [&] { return read_arrays(path); });
    if (arrays.size() != at(shape.layers())) {
      settings.reject(
          "init.path", path + " with " + std::to_string(arrays.size()) + " arrays",
          "one for each of the " + std::to_string(shape.layers()) + " layers " + shape.text());
    }
    // By our names where it has them, else as they stand in the file, from the input.
    for (std::int64_t h = 1; h <= shape.layers(); ++h) {
      const auto named = std::find_if(arrays.begin(), arrays.end(), [&](const NamedArray& one) {
        return one.name == layer_name(h);
      });
      const NamedArray& one = named != arrays.end() ? *named : arrays[at(h - 1)];
      append_layer(settings, one.array, path + ": " + one.name, shape, h, layers);
    }
    return layers;
  }
  if (paths.size() == 1) return flat_layers(settings, read(paths.front()), paths.front(), shape);
  if (paths.size() != at(shape.layers())) {
    settings.reject("init.path", std::to_string(paths.size()) + " files",
                    "one for each of the " + std::to_string(shape.layers()) + " layers " +
                        shape.text() + ", from the input, or one file with all of them");
  }
  for (std::int64_t h = 1; h <= shape.layers(); ++h) {
    const std::string& path = paths[at(h - 1)];
    append_layer(settings, read(path), path, shape, h, layers);
  }
  return layers;
}

// ---- records

/// "0, 1, 5 to 7".
std::string ranges_text(std::vector<double> numbers) {
  std::sort(numbers.begin(), numbers.end());
  std::string text;
  for (std::size_t first = 0; first < numbers.size();) {
    std::size_t last = first;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    const auto number = [&](std::size_t i) {
      return std::to_string(static_cast<std::int64_t>(numbers[i]));
    };
    text += (text.empty() ? "" : ", ") + number(first);
    if (last > first) text += (last == first + 1 ? ", " : " to ") + number(last);
    first = last + 1;
  }
  return text;
}

std::vector<double> read(const Settings& settings, const NetcdfReader& record,
                         const NetcdfReader::Variable& variable, const Sizes& start,
                         const Sizes& count) {
  return with_place(settings, "init.record", [&] { return record.read(variable, start, count); });
}

/// Where a record has a member's parameters.
struct Found {
  std::string group;        ///< "family_0/"
  std::int64_t member = 0;  ///< index along the group's members
};

Found find_member(const Settings& settings, const NetcdfReader& record) {
  const std::int64_t wanted = settings.integer("init.member");
  std::vector<double> all;
  for (const NetcdfReader::Variable& variable : record.variables()) {
    constexpr std::string_view ending = "/member";
    if (!variable.path.starts_with("family_") || !variable.path.ends_with(ending)) continue;
    std::string group = variable.path.substr(0, variable.path.size() - ending.size() + 1);
    if (record.find(group + layer_name(1)) == nullptr) continue;
    const std::vector<double> numbers = read(settings, record, variable, Sizes{0}, variable.shape);
    const auto found = std::find(numbers.begin(), numbers.end(), static_cast<double>(wanted));
    if (found != numbers.end()) return {std::move(group), found - numbers.begin()};
    all.insert(all.end(), numbers.begin(), numbers.end());
  }
  if (all.empty()) {
    settings.reject("init.record", record.file().string() + " without parameters",
                    "a record of an experiment that has [probes] parameters");
  }
  settings.reject("init.member", std::to_string(wanted),
                  "one of the members that " + record.file().string() +
                      " has parameters of: " + ranges_text(all));
}

class RecordedMember {
 public:
  RecordedMember(const Settings& settings, const Shape& shape, const NetcdfReader& record)
      : settings_(settings), shape_(shape), record_(record), found_(find_member(settings, record)) {
    for (std::int64_t h = 1; h <= shape.layers(); ++h) {
      const auto* layer = record.find(found_.group + layer_name(h));
      if (layer == nullptr) {
        reject("only " + std::to_string(h - 1) + " layers",
               "the " + std::to_string(shape.layers()) + " layers " + shape.text());
      }
      constexpr std::size_t before = 2;  // (member, sample)
      const auto cut = static_cast<std::ptrdiff_t>(std::min(before, layer->shape.size()));
      const Sizes found(layer->shape.begin() + cut, layer->shape.end());
      if (layer->shape.size() != before + 2 || found != layer_shape(shape, h)) {
        reject(layer_name(h) + " of shape " + shape_text(found),
               shape_text(layer_shape(shape, h)) + ", as in the layers " + shape.text());
      }
      layers_.push_back(layer);
    }
    if (record.find(found_.group + layer_name(shape.layers() + 1)) != nullptr) {
      reject("a layer " + layer_name(shape.layers() + 1),
             "the " + std::to_string(shape.layers()) + " layers " + shape.text());
    }
  }

  std::vector<double> parameters() const {
    const std::int64_t samples = layers_.front()->shape[1];
    if (settings_.has("init.sample")) {
      const std::int64_t sample = settings_.integer("init.sample");
      if (sample >= samples) {
        settings_.reject("init.sample", std::to_string(sample),
                         "one of the " + std::to_string(samples) + " samples of " +
                             record_.file().string() + ", counted from 0");
      }
      std::vector<double> values = at_sample(sample);
      if (!finite(values)) {
        settings_.reject("init.sample",
                         std::to_string(sample) + ", where member " + number() + " of " +
                             record_.file().string() + " has no finite parameters",
                         "a sample from before it ended");
      }
      return values;
    }
    const std::vector<double> corner = first_entries(samples);
    for (std::int64_t sample = samples; sample-- > 0;) {
      if (!std::isfinite(corner[at(sample)])) continue;
      std::vector<double> values = at_sample(sample);
      if (finite(values)) return values;
    }
    reject("no sample whose parameters are all finite", "one at least");
  }

 private:
  [[noreturn]] void reject(const std::string& found, const std::string& expected) const {
    settings_.reject("init.record",
                     record_.file().string() + ", whose member " + number() + " has " + found,
                     expected);
  }
  std::string number() const { return std::to_string(settings_.integer("init.member")); }
  static bool finite(const std::vector<double>& values) {
    return std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(x); });
  }
  std::vector<double> at_sample(std::int64_t sample) const {
    std::vector<double> all;
    for (const auto* layer : layers_) {
      const Sizes start{found_.member, sample, 0, 0};
      const Sizes count{1, 1, layer->shape[2], layer->shape[3]};
      const std::vector<double> values = read(settings_, record_, *layer, start, count);
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }
  /// One entry of W_1 at every sample: NaN where nothing was recorded.
  std::vector<double> first_entries(std::int64_t samples) const {
    const Sizes start{found_.member, 0, 0, 0};
    const Sizes count{1, samples, 1, 1};
    return read(settings_, record_, *layers_.front(), start, count);
  }

  const Settings& settings_;
  const Shape& shape_;
  const NetcdfReader& record_;
  Found found_;
  std::vector<const NetcdfReader::Variable*> layers_;
};

}  // namespace

std::vector<double> start_from_file(const Settings& settings, const Shape& shape) {
  const std::lock_guard lock(reading());
  static Recent<std::vector<double>> recent;
  const std::vector<std::string> paths = settings.texts("init.path");
  std::string key = shape.text() + '\n';
  for (const std::string& path : paths) key += identity_of(path);
  return *recent.get(key, [&] {
    auto layers = std::make_shared<const std::vector<double>>(read_files(settings, paths, shape));
    require_finite(settings, "init.path", *layers, paths.front(), shape);
    return layers;
  });
}

std::vector<double> start_from_record(const Settings& settings, const Shape& shape) {
  const std::lock_guard lock(reading());
  // Never destroyed: HDF5 closes its files itself at exit, and may do so first.
  static auto& recent = *new Recent<NetcdfReader>;
  fs::path file = settings.text("init.record");
  std::error_code ignored;
  if (fs::is_directory(file, ignored)) file /= "record.nc";
  const auto record = with_place(settings, "init.record", [&] {
    return recent.get(identity_of(file),
                      [&] { return std::make_shared<const NetcdfReader>(file); });
  });
  return RecordedMember(settings, shape, *record).parameters();
}

}  // namespace manyfold::factorization
