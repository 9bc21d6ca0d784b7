// Reads starts; what was read last is kept.
#include "models/training/given_start.hpp"

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

namespace manyfold {
namespace {

namespace fs = std::filesystem;
using Sizes = std::vector<std::int64_t>;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::string shape_text(const Sizes& shape) { return Array{.shape = shape}.shape_text(); }
Sizes shape_of(const GivenArray& array) { return {array.rows, array.cols}; }

std::int64_t parameters_of(const GivenLayout& layout) {
  std::int64_t all = 0;
  for (const GivenArray& array : layout.arrays) all += array.size();
  return all;
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

/// Rejects numbers that are not finite.
void require_finite(const Settings& settings, const char* key, const std::vector<double>& values,
                    const std::string& file, const GivenArray& array) {
  const auto bad =
      std::find_if(values.begin(), values.end(), [](double x) { return !std::isfinite(x); });
  if (bad == values.end()) return;
  const std::int64_t inside = bad - values.begin();
  settings.reject(key,
                  file + " with " + std::to_string(*bad) + " in row " +
                      std::to_string(inside / array.cols) + ", column " +
                      std::to_string(inside % array.cols) + " of " + array.name +
                      " (counted from 0)",
                  "finite numbers");
}

// ---- files

/// A filter (row, channel, taps...) with the channel last.
std::vector<double> channel_last(const Array& array) {
  const auto rows = at(array.shape[0]);
  const auto channels = at(array.shape[1]);
  const std::size_t taps = array.values.size() / std::max<std::size_t>(1, rows * channels);
  std::vector<double> turned(array.values.size());
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < channels; ++c) {
      for (std::size_t t = 0; t < taps; ++t) {
        turned[(r * taps + t) * channels + c] = array.values[(r * channels + c) * taps + t];
      }
    }
  }
  return turned;
}

class Files {
 public:
  Files(const Settings& settings, const GivenLayout& layout)
      : settings_(settings), layout_(layout), paths_(settings.texts("init.path")) {}

  GivenStart read() {
    start_.untrained.resize(layout_.untrained.size());
    if (paths_.size() == 1 && fs::path(paths_.front()).extension() == ".nc") {
      variables();
    } else if (paths_.size() == 1 && is_archive(paths_.front())) {
      archive();
    } else if (paths_.size() == 1) {
      flat();
    } else {
      one_each();
    }
    return std::move(start_);
  }

 private:
  /// What is read, with the key's place before what that says.
  template <class Read>
  auto placed(const Read& read) const {
    return with_place(settings_, "init.path", read);
  }
  std::string count_text() const {
    return std::to_string(layout_.arrays.size()) + " " + layout_.text;
  }

  std::vector<double> values_of(const Array& array, const std::string& file,
                                const GivenArray& wanted) const {
    const bool vector = wanted.rows == 1 && array.shape == Sizes{wanted.cols};
    const bool filter = !wanted.filter.empty() && array.shape == wanted.filter;
    if (array.shape != shape_of(wanted) && !vector && !filter) {
      settings_.reject("init.path",
                       file + " with " + wanted.name + " of shape " + array.shape_text(),
                       shape_text(shape_of(wanted)) +
                           (wanted.filter.empty() ? "" : " or " + shape_text(wanted.filter)) +
                           ", as in the " + layout_.text);
    }
    std::vector<double> values = filter ? channel_last(array) : array.values;
    require_finite(settings_, "init.path", values, file, wanted);
    return values;
  }
  void append(const Array& array, const std::string& file, const GivenArray& wanted) {
    const std::vector<double> values = values_of(array, file, wanted);
    start_.parameters.insert(start_.parameters.end(), values.begin(), values.end());
  }

  void variables() {
    const std::string& path = paths_.front();
    placed([&] {
      const NetcdfReader reader(path);
      const std::string beyond = "W_" + std::to_string(weights() + 1);
      if (reader.find(beyond) != nullptr) {
        throw InputError(path + ": found a variable " + beyond + ", expected the " + count_text());
      }
    });
    for (const GivenArray& wanted : layout_.arrays) {
      append(placed([&] { return read_array(path, wanted.name); }), path, wanted);
    }
  }
  std::int64_t weights() const {
    return std::count_if(layout_.arrays.begin(), layout_.arrays.end(),
                         [](const GivenArray& array) { return array.name.starts_with("W_"); }) +
           static_cast<std::int64_t>(layout_.untrained.size());
  }

  /// By our names where it has them, else as they stand in the file, from the input.
  void archive() {
    const std::string& path = paths_.front();
    std::vector<NamedArray> arrays = placed([&] { return read_arrays(path); });
    const auto named = [&](const GivenArray& wanted) {
      return std::find_if(arrays.begin(), arrays.end(),
                          [&](const NamedArray& one) { return one.name == wanted.name; });
    };
    for (std::size_t i = 0; i < layout_.untrained.size(); ++i) {
      const auto found = named(layout_.untrained[i]);
      if (found == arrays.end()) continue;
      start_.untrained[i] =
          values_of(found->array, path + ": " + found->name, layout_.untrained[i]);
      arrays.erase(found);
    }
    if (arrays.size() != layout_.arrays.size()) {
      settings_.reject("init.path", path + " with " + std::to_string(arrays.size()) + " arrays",
                       "one for each of the " + count_text());
    }
    for (std::size_t i = 0; i < arrays.size(); ++i) {
      const GivenArray& wanted = layout_.arrays[i];
      const auto found = named(wanted);
      const NamedArray& one = found != arrays.end() ? *found : arrays[i];
      append(one.array, path + ": " + one.name, wanted);
    }
  }

  /// All in one array: a vector (in .csv a row or a column), or the only array itself.
  void flat() {
    const std::string& file = paths_.front();
    const Array array = placed([&] { return read_array(file); });
    const auto beside = std::count(array.shape.begin(), array.shape.end(), std::int64_t{1});
    const bool vector =
        !array.shape.empty() && beside >= static_cast<std::int64_t>(array.shape.size()) - 1;
    const std::int64_t count = parameters_of(layout_);
    const bool only = layout_.arrays.size() == 1 && array.shape == shape_of(layout_.arrays[0]);
    if (!only && (!vector || array.values.size() != at(count))) {
      const bool several = layout_.arrays.size() > 1;
      settings_.reject("init.path", file + " with an array of shape " + array.shape_text(),
                       shape_text(Sizes{count}) + ": the " + layout_.text +
                           ", W_1 first, each row by row" +
                           (several ? ", or a list of one file for each layer" : ""));
    }
    start_.parameters = array.values;
    auto from = start_.parameters.begin();
    for (const GivenArray& wanted : layout_.arrays) {
      require_finite(settings_, "init.path", {from, from + wanted.size()}, file, wanted);
      from += wanted.size();
    }
  }

  void one_each() {
    if (paths_.size() != layout_.arrays.size()) {
      settings_.reject(
          "init.path", std::to_string(paths_.size()) + " files",
          "one for each of the " + count_text() + ", from the input, or one file with all of them");
    }
    for (std::size_t i = 0; i < paths_.size(); ++i) {
      append(placed([&] { return read_array(paths_[i]); }), paths_[i], layout_.arrays[i]);
    }
  }

  const Settings& settings_;
  const GivenLayout& layout_;
  const std::vector<std::string> paths_;
  GivenStart start_;
};

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

/// `first`: an array that its group must have.
Found find_member(const Settings& settings, const NetcdfReader& record, const std::string& first) {
  const std::int64_t wanted = settings.integer("init.member");
  std::vector<double> all;
  for (const NetcdfReader::Variable& variable : record.variables()) {
    constexpr std::string_view ending = "/member";
    if (!variable.path.starts_with("family_") || !variable.path.ends_with(ending)) continue;
    std::string group = variable.path.substr(0, variable.path.size() - ending.size() + 1);
    if (record.find(group + first) == nullptr) continue;
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
  RecordedMember(const Settings& settings, const GivenLayout& layout, const NetcdfReader& record)
      : settings_(settings),
        record_(record),
        found_(find_member(settings, record, layout.arrays.front().name)) {
    const std::string all = std::to_string(layout.arrays.size()) + " " + layout.text;
    for (const GivenArray& wanted : layout.arrays) {
      const auto* layer = record.find(found_.group + wanted.name);
      if (layer == nullptr) {
        reject("only " + std::to_string(layers_.size()) + " layers", "the " + all);
      }
      constexpr std::size_t before = 2;  // (member, sample)
      const auto cut = static_cast<std::ptrdiff_t>(std::min(before, layer->shape.size()));
      const Sizes found(layer->shape.begin() + cut, layer->shape.end());
      if (layer->shape.size() != before + 2 || found != shape_of(wanted)) {
        reject(wanted.name + " of shape " + shape_text(found),
               shape_text(shape_of(wanted)) + ", as in the " + layout.text);
      }
      layers_.push_back(layer);
    }
    for (const NetcdfReader::Variable& variable : record.variables()) {
      if (!variable.path.starts_with(found_.group)) continue;
      const std::string name = variable.path.substr(found_.group.size());
      const bool known = std::any_of(layout.arrays.begin(), layout.arrays.end(),
                                     [&](const GivenArray& array) { return array.name == name; });
      if (known || (!name.starts_with("W_") && !name.starts_with("b_"))) continue;
      reject("a layer " + name, "the " + all);
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
  const NetcdfReader& record_;
  Found found_;
  std::vector<const NetcdfReader::Variable*> layers_;
};

/// What tells layouts apart.
std::string key_of(const GivenLayout& layout) {
  std::string key = layout.text;
  for (const auto& arrays : {layout.arrays, layout.untrained}) {
    for (const GivenArray& array : arrays) {
      key += '\n' + array.name + ' ' + shape_text(shape_of(array)) + shape_text(array.filter);
    }
    key += '\n';
  }
  return key;
}

}  // namespace

GivenStart start_from_file(const Settings& settings, const GivenLayout& layout) {
  const std::lock_guard lock(reading());
  static Recent<GivenStart> recent;
  std::string key = key_of(layout);
  for (const std::string& path : settings.texts("init.path")) key += identity_of(path);
  return *recent.get(
      key, [&] { return std::make_shared<const GivenStart>(Files(settings, layout).read()); });
}

std::vector<double> start_from_record(const Settings& settings, const GivenLayout& layout) {
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
  return RecordedMember(settings, layout, *record).parameters();
}

}  // namespace manyfold
