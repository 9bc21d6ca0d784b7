// Writes NetCDF-4 a slab at a time beside the old record and renames it when it is whole.
#include "core/record/record_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <stdexcept>

#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netcdf.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.hpp"
#include "core/record/layout_json.hpp"
#include "core/record/log_blocks.hpp"
#include "core/record/shape.hpp"

namespace manyfold {
namespace {

constexpr double not_sampled = std::numeric_limits<double>::quiet_NaN();
/// Exact in a double, unlike netCDF's own default: xarray can tell it from every value.
constexpr std::int64_t not_set = std::numeric_limits<std::int64_t>::min();

/// 1 MiB: large enough to compress well and to be read fast, small enough to skip to.
constexpr std::int64_t chunk_values = std::int64_t{1} << 17;
/// Smaller variables are one contiguous piece, which reads faster than a compressed one.
constexpr std::int64_t contiguous_values = 512;

class NetcdfError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

void require(int status) {
  if (status != NC_NOERR) throw NetcdfError(nc_strerror(status));
}

/// The errno of a file system that does not take a file of so many bytes, else 0. netCDF does not
/// say why HDF5 failed, and what HDF5 holds back in its caches may be far from the end of the file:
/// so the question is whether the record would fit without compression.
int why_full(const std::filesystem::path& partial, std::int64_t bytes) {
  const int descriptor = open(partial.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) return 0;
  const off_t wanted = std::min(bytes, std::int64_t{1} << 60) + (std::int64_t{1} << 20);
  int failure = EINTR;
  while (failure == EINTR) failure = posix_fallocate(descriptor, 0, wanted);
  if (failure == 0 && fsync(descriptor) != 0) failure = errno;
  close(descriptor);
  return failure == ENOSPC || failure == EDQUOT || failure == EFBIG ? failure : 0;
}

/// A file that HDF5 could not close for want of space makes it crash when the program exits: it is
/// told to do nothing then. There is nothing it would have to do, every other file is closed
/// before. netCDF has no call for this, and without HDF5's headers it is found by name.
void spare_exit_handler() {
  static const bool once = [] {
    void* const found = dlsym(RTLD_DEFAULT, "H5dont_atexit");
    if (found != nullptr) reinterpret_cast<int (*)()>(found)();
    return true;
  }();
  (void)once;
}

class NetcdfFile {
 public:
  explicit NetcdfFile(const std::filesystem::path& path) : path_(path) {
    spare_exit_handler();
    require(nc_create(path.c_str(), NC_NETCDF4 | NC_CLOBBER, &id_));
  }
  NetcdfFile(const NetcdfFile&) = delete;
  NetcdfFile& operator=(const NetcdfFile&) = delete;
  ~NetcdfFile() {
    if (id_ < 0) return;
    // A failure is under way. On a full disk the file's own bytes make the room that closing needs.
    std::error_code ignored;
    std::filesystem::resize_file(path_, 0, ignored);
    nc_close(id_);
  }
  void close() { require(nc_close(std::exchange(id_, -1))); }
  int id() const { return id_; }

 private:
  std::filesystem::path path_;
  int id_ = -1;
};

std::int64_t divided_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// The largest piece not above `most` that cuts `size` into pieces of about one size: a last piece
/// with little in it would be stored whole.
std::int64_t even_piece(std::int64_t size, std::int64_t most) {
  return divided_up(size, divided_up(size, std::max(std::int64_t{1}, most)));
}

/// How a variable (member, sample, extents...) is cut: into chunks in the file, and into slabs of
/// whole chunks that are filled in memory, so that each chunk is compressed once.
struct Cut {
  std::vector<std::size_t> chunk;  ///< without the sample dimension where there is none
  std::int64_t slab_members = 0;
  std::int64_t slab_samples = 0;
};

/// The log is in the order of samples: slabs of a few samples and all members read each block once,
/// so samples are cut first, members only where a slab of one chunk's samples would not fit.
Cut cut(const VariableShape& shape, bool sampled, std::int64_t slab_bytes) {
  const std::int64_t members = shape.members;
  std::vector<std::int64_t> cell_chunk = shape.extents;
  std::int64_t cell = shape.cell;
  for (std::int64_t& extent : cell_chunk) {
    if (cell <= chunk_values) break;
    const std::int64_t others = cell / extent;
    extent = even_piece(extent, chunk_values / others);
    cell = others * extent;
  }
  const std::int64_t cells = std::max(std::int64_t{1}, chunk_values / cell);
  const std::int64_t slab_cells = std::max(
      std::int64_t{1}, slab_bytes / static_cast<std::int64_t>(sizeof(double)) / shape.cell);

  const std::int64_t fitting = std::max(std::int64_t{64}, slab_cells / members);
  const std::int64_t chunk_samples =
      even_piece(shape.samples, std::min({std::int64_t{1024}, cells, fitting}));
  const std::int64_t chunk_members = even_piece(members, cells / chunk_samples);

  Cut cut;
  cut.chunk.push_back(static_cast<std::size_t>(chunk_members));
  if (sampled) cut.chunk.push_back(static_cast<std::size_t>(chunk_samples));
  cut.chunk.insert(cut.chunk.end(), cell_chunk.begin(), cell_chunk.end());
  const auto whole_chunks = [](std::int64_t most, std::int64_t chunk, std::int64_t size) {
    return std::min(size, std::max(std::int64_t{1}, most / chunk) * chunk);
  };
  cut.slab_samples = whole_chunks(slab_cells / members, chunk_samples, shape.samples);
  cut.slab_members = whole_chunks(slab_cells / cut.slab_samples, chunk_members, members);
  return cut;
}

/// What a first pass over the whole log tells.
struct Survey {
  LogSummary summary;
  Attributes attributes;                          ///< of the layout, then of the log
  std::vector<MemberEnd> ends;                    ///< per member, as the record says it
  std::map<int, std::vector<std::string>> texts;  ///< per text variable and member
};

Survey survey(const std::filesystem::path& log) {
  Survey survey;
  RecordLayout layout = LogReader(log).layout();
  const auto members = static_cast<std::size_t>(layout.members);
  survey.attributes = layout.attributes;
  survey.ends.resize(members);
  for (std::size_t m = 0; m < members; ++m) survey.ends[m].member = static_cast<std::int64_t>(m);
  for (std::size_t v = 0; v < layout.variables.size(); ++v)
    if (layout.variables[v].type == StoredType::text)
      survey.texts[static_cast<int>(v)].resize(members);
  std::vector<std::int64_t> last_step(members, 0);
  std::vector<bool> seen(members);

  LogVisitor visitor;
  visitor.on_samples = [&](const SampleBlock& block) {
    const int cadence = layout.variables[static_cast<std::size_t>(block.variable)].cadence;
    const std::int64_t step = cadence < 0 ? 0
                                          : layout.cadences[static_cast<std::size_t>(cadence)]
                                                .steps[static_cast<std::size_t>(block.sample)];
    for (const std::int64_t member : block.members) {
      const auto m = static_cast<std::size_t>(member);
      seen[m] = true;
      last_step[m] = std::max(last_step[m], step);
    }
  };
  visitor.on_texts = [&](const TextBlock& block) {
    for (std::size_t i = 0; i < block.members.size(); ++i)
      survey.texts[block.variable][static_cast<std::size_t>(block.members[i])] =
          as_utf8(block.values[i]);
  };
  visitor.on_end = [&](const MemberEnd& end) {
    survey.ends[static_cast<std::size_t>(end.member)] = end;
  };
  visitor.on_attribute = [&](const std::string& name, const Attribute& value) {
    const auto known = std::find_if(survey.attributes.begin(), survey.attributes.end(),
                                    [&](const auto& each) { return each.first == name; });
    if (known == survey.attributes.end())
      survey.attributes.emplace_back(name, value);
    else
      known->second = value;
  };
  survey.summary = read_log(log, visitor);

  for (std::size_t m = 0; m < members; ++m) {
    MemberEnd& end = survey.ends[m];
    if (end.status == MemberStatus::pending || end.status == MemberStatus::running) {
      end.status = seen[m] ? MemberStatus::interrupted : MemberStatus::pending;
      end.end_reason = seen[m] ? "no end in the log" : "";
      end.end_step = last_step[m];
    } else if (end.status == MemberStatus::interrupted) {
      end.end_step = std::max(end.end_step, last_step[m]);
    }
  }
  return survey;
}

struct Description {
  std::string units = "1";
  std::string long_name{};
  std::string comment{};
};

class RecordWriter {
 public:
  RecordWriter(const std::filesystem::path& log, const Survey& survey,
               const std::filesystem::path& file, std::int64_t slab_bytes)
      : reader_(log),
        survey_(survey),
        layout_(survey.summary.layout),
        shapes_(manyfold::shapes(layout_)),
        slab_bytes_(slab_bytes),
        file_(file) {}

  void write() {
    define();
    require(nc_enddef(file_.id()));
    write_coordinates();
    for (const auto& [variable, texts] : survey_.texts) put_texts(ids_[at(variable)], texts);
    write_samples();
    file_.close();
  }

 private:
  struct Slab {
    int variable = 0;
    std::int64_t member = 0, members = 0;  ///< rows of the variable
    std::int64_t sample = 0, samples = 0;
    std::size_t offset = 0;  ///< into the arena
    std::size_t size = 0;
    bool touched = false;
  };

  static std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

  // ---- what stands in the file

  void define() {
    require(nc_set_fill(file_.id(), NC_FILL, nullptr));
    add_dimension("member", layout_.members);
    for (const CadenceLayout& cadence : layout_.cadences)
      add_dimension(sample_dimension(cadence), static_cast<std::int64_t>(cadence.steps.size()));
    for (const Extent& extent : dimensions_beyond_samples(layout_))
      add_dimension(extent.name, extent.size);

    add_variable("member", NC_INT64, {"member"}, {.long_name = "member: a row of the record"});
    for (const Extent& extent : dimensions_beyond_samples(layout_))
      add_variable(extent.name, NC_INT64, {extent.name}, {.long_name = extent.name});
    define_coordinates();
    for (std::size_t g = 0; g < layout_.groups.size(); ++g) define_group(static_cast<int>(g));
    for (std::size_t v = 0; v < layout_.variables.size(); ++v) define_variable(v);
    define_attributes();
  }

  /// A group's dimensions and coordinates. Its variables share the root's samples; their steps
  /// stand here again, so that the group opens by itself.
  void define_group(int g) {
    const GroupLayout& group = layout_.groups[at(g)];
    int id = 0;
    require(nc_def_grp(file_.id(), group.name.c_str(), &id));
    group_ids_.push_back(id);
    rows_.emplace_back(static_cast<std::size_t>(layout_.members), -1);
    for (std::size_t i = 0; i < group.members.size(); ++i)
      rows_.back()[at(group.members[i])] = static_cast<std::int64_t>(i);
    add_dimension("member", static_cast<std::int64_t>(group.members.size()), g);
    for (const Extent& extent : dimensions_beyond_samples(layout_, g))
      add_dimension(extent.name, extent.size, g);
    group_coordinates_.push_back(
        {id,
         add_variable("member", NC_INT64, {"member"},
                      {.long_name = "member: a row of the record's root group"}, g),
         -1});
    for (std::size_t c = 0; c < layout_.cadences.size(); ++c) {
      const bool used = std::any_of(
          layout_.variables.begin(), layout_.variables.end(), [&](const VariableLayout& variable) {
            return variable.group == g && variable.cadence == static_cast<int>(c);
          });
      if (!used) continue;
      const CadenceLayout& cadence = layout_.cadences[c];
      group_coordinates_.push_back(
          {id,
           add_variable(step_coordinate(cadence), NC_INT64, {sample_dimension(cadence)},
                        {.long_name = "step of the sample"}, g),
           static_cast<int>(c)});
    }
    if (!group.long_name.empty())
      require(nc_put_att_text(id, NC_GLOBAL, "long_name", group.long_name.size(),
                              group.long_name.data()));
  }

  /// The netCDF id of a group; -1: the root.
  int in(int group) const { return group < 0 ? file_.id() : group_ids_[at(group)]; }

  void add_dimension(const std::string& name, std::int64_t size, int group = -1) {
    int id = 0;
    // A length of 0 makes an unlimited dimension with nothing in it, which reads as length 0.
    require(nc_def_dim(in(group), name.c_str(), static_cast<std::size_t>(size), &id));
    dimensions_[{group, name}] = {id, size};
  }

  /// A dimension as a group sees it: its own, else the root's.
  std::pair<int, std::int64_t> dimension(const std::string& name, int group) const {
    const auto own = dimensions_.find({group, name});
    return own != dimensions_.end() ? own->second : dimensions_.at({-1, name});
  }

  int add_variable(const std::string& name, nc_type type,
                   const std::vector<std::string>& dimensions, const Description& description,
                   int group = -1) {
    std::vector<int> ids;
    std::vector<std::size_t> lengths;
    std::int64_t values = 1;
    for (const std::string& name_of_dimension : dimensions) {
      const auto [id, size] = dimension(name_of_dimension, group);
      ids.push_back(id);
      lengths.push_back(static_cast<std::size_t>(std::min(size, chunk_values)));
      values *= size;
    }
    int variable = 0;
    require(nc_def_var(in(group), name.c_str(), type, static_cast<int>(ids.size()), ids.data(),
                       &variable));
    put_attribute(variable, "units", description.units, group);
    put_attribute(variable, "long_name",
                  description.long_name.empty() ? name : description.long_name, group);
    if (!description.comment.empty())
      put_attribute(variable, "comment", description.comment, group);
    if (type != NC_STRING && values > contiguous_values) compress(variable, lengths, group);
    return variable;
  }

  void compress(int variable, const std::vector<std::size_t>& chunk, int group) {
    require(nc_def_var_chunking(in(group), variable, NC_CHUNKED, chunk.data()));
    require(nc_def_var_deflate(in(group), variable, 1, 1, 1));
    // Chunks are written once and whole; caches of many variables would add up to gigabytes.
    require(nc_set_var_chunk_cache(in(group), variable, chunk_values * sizeof(double), 1, 1.0F));
  }

  void define_coordinates() {
    for (const CadenceLayout& cadence : layout_.cadences)
      coordinate_ids_.push_back(add_coordinate(
          step_coordinate(cadence), NC_INT64, sample_dimension(cadence),
          {.long_name = "step of the sample",
           .comment = "0 before the first step; a member is NaN beyond its end_step"}));
    for (const CoordinateLayout& coordinate : layout_.coordinates) {
      constexpr std::array<nc_type, 3> types{NC_INT64, NC_DOUBLE, NC_STRING};  // as the variant
      coordinate_ids_.push_back(
          add_coordinate(coordinate.name, types[coordinate.values.index()], "member",
                         {.units = coordinate.units, .long_name = coordinate.long_name}));
      if (std::holds_alternative<std::vector<double>>(coordinate.values))
        require(nc_def_var_fill(file_.id(), coordinate_ids_.back(), NC_FILL, &not_sampled));
    }
    status_id_ = add_coordinate(
        "status", NC_STRING, "member",
        {.long_name = "how the member ended",
         .comment = "finished, converged, diverged, left_domain, underflow, failed, interrupted "
                    "or pending"});
    end_step_id_ =
        add_coordinate("end_step", NC_INT64, "member",
                       {.long_name = "the member's last step",
                        .comment = "of an interrupted member without an end: its last sample's"});
    end_reason_id_ =
        add_coordinate("end_reason", NC_STRING, "member", {.long_name = "what ended the member"});
  }

  int add_coordinate(const std::string& name, nc_type type, const std::string& dimension,
                     const Description& description) {
    coordinates_of_[dimension] += (coordinates_of_[dimension].empty() ? "" : " ") + name;
    return add_variable(name, type, {dimension}, description);
  }

  void define_variable(std::size_t v) {
    const VariableLayout& variable = layout_.variables[v];
    const bool sampled = variable.cadence >= 0;
    std::vector<std::string> dimensions{"member"};
    if (sampled) dimensions.push_back(sample_dimension(layout_.cadences[at(variable.cadence)]));
    std::string coordinates = variable.group < 0 ? coordinates_of_["member"] : "";
    if (sampled)
      coordinates += (coordinates.empty() ? "" : " ") + coordinates_of_[dimensions.back()];
    for (const Extent& extent : variable.extents) dimensions.push_back(extent.name);

    constexpr std::array<nc_type, 3> types{NC_DOUBLE, NC_INT64, NC_STRING};  // as StoredType
    const int id = add_variable(
        variable.name, types[static_cast<std::size_t>(variable.type)], dimensions,
        {.units = variable.units, .long_name = variable.long_name, .comment = variable.comment},
        variable.group);
    ids_.push_back(id);
    if (!coordinates.empty()) put_attribute(id, "coordinates", coordinates, variable.group);
    if (variable.type == StoredType::f64)
      require(nc_def_var_fill(in(variable.group), id, NC_FILL, &not_sampled));
    if (variable.type == StoredType::i64)
      require(nc_def_var_fill(in(variable.group), id, NC_FILL, &not_set));
    const std::int64_t values = shapes_[v].members * shapes_[v].samples * shapes_[v].cell;
    if (variable.type == StoredType::text || values == 0) return;
    const Cut pieces = cut(shapes_[v], sampled, slab_bytes_);
    if (values > contiguous_values) compress(id, pieces.chunk, variable.group);
    plan_slabs(static_cast<int>(v), pieces);
  }

  void define_attributes() {
    put_attribute(NC_GLOBAL, "Conventions", "CF-1.9");
    std::string coordinates;
    for (const auto& [dimension, names] : coordinates_of_)
      coordinates += (coordinates.empty() ? "" : " ") + names;
    for (const auto& [name, value] : survey_.attributes) put_attribute(NC_GLOBAL, name, value);
    const auto ignored = static_cast<std::int64_t>(reader_.size()) - survey_.summary.valid_bytes;
    if (!survey_.summary.complete) put_attribute(NC_GLOBAL, "ignored_log_bytes", ignored);
    put_attribute(NC_GLOBAL, "coordinates", coordinates);
  }

  void put_attribute(int variable, const std::string& name, const Attribute& value,
                     int group = -1) {
    if (const auto* text = std::get_if<std::string>(&value)) {
      const std::string stored = as_utf8(*text);
      require(nc_put_att_text(in(group), variable, name.c_str(), stored.size(), stored.data()));
    } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
      const long long stored = *integer;
      require(nc_put_att_longlong(in(group), variable, name.c_str(), NC_INT64, 1, &stored));
    } else {
      require(nc_put_att_double(in(group), variable, name.c_str(), NC_DOUBLE, 1,
                                &std::get<double>(value)));
    }
  }

  // ---- coordinates

  void write_coordinates() {
    put_labels("member", layout_.members, 0);
    for (const Extent& extent : dimensions_beyond_samples(layout_))
      put_labels(extent.name, extent.size, extent.first);
    auto id = coordinate_ids_.begin();
    for (const CadenceLayout& cadence : layout_.cadences) put_values(*id++, cadence.steps);
    for (const CoordinateLayout& coordinate : layout_.coordinates) {
      if (const auto* texts = std::get_if<std::vector<std::string>>(&coordinate.values)) {
        std::vector<std::string> stored;
        stored.reserve(texts->size());
        for (const std::string& text : *texts) stored.push_back(as_utf8(text));
        put_texts(*id, stored);
      } else if (const auto* numbers = std::get_if<std::vector<double>>(&coordinate.values)) {
        put_values(*id, *numbers);
      } else {
        put_values(*id, std::get<std::vector<std::int64_t>>(coordinate.values));
      }
      ++id;
    }
    std::vector<std::string> statuses, reasons;
    std::vector<std::int64_t> steps;
    for (const MemberEnd& end : survey_.ends) {
      statuses.emplace_back(word(end.status));
      reasons.push_back(as_utf8(end.end_reason));
      steps.push_back(end.end_step);
    }
    for (const auto& [group, variable, cadence] : group_coordinates_) {
      const auto& members = layout_.groups[index_of(group)].members;
      put_values(variable, cadence < 0 ? members : layout_.cadences[at(cadence)].steps, group);
    }
    put_texts(status_id_, statuses);
    put_values(end_step_id_, steps);
    put_texts(end_reason_id_, reasons);
  }

  void put_labels(const std::string& dimension, std::int64_t size, std::int64_t first) {
    std::vector<std::int64_t> labels(static_cast<std::size_t>(size));
    std::iota(labels.begin(), labels.end(), first);
    int id = 0;
    require(nc_inq_varid(file_.id(), dimension.c_str(), &id));
    put_values(id, labels);
  }

  std::size_t index_of(int group_id) const {
    return static_cast<std::size_t>(std::find(group_ids_.begin(), group_ids_.end(), group_id) -
                                    group_ids_.begin());
  }

  template <class T>
  void put_values(int id, const std::vector<T>& values) {
    put_values(id, values, file_.id());
  }
  template <class T>
  void put_values(int id, const std::vector<T>& values, int group_id) {
    if (!values.empty()) require(nc_put_var(group_id, id, values.data()));
  }

  void put_texts(int id, const std::vector<std::string>& texts) {
    std::vector<const char*> pointers;
    pointers.reserve(texts.size());
    for (const std::string& text : texts) pointers.push_back(text.c_str());
    if (!pointers.empty()) require(nc_put_var_string(file_.id(), id, pointers.data()));
  }

  // ---- samples

  void plan_slabs(int variable, const Cut& pieces) {
    const VariableShape& shape = shapes_[at(variable)];
    for (std::int64_t m = 0; m < shape.members; m += pieces.slab_members)
      for (std::int64_t s = 0; s < shape.samples; s += pieces.slab_samples) {
        Slab slab{.variable = variable,
                  .member = m,
                  .members = std::min(pieces.slab_members, shape.members - m),
                  .sample = s,
                  .samples = std::min(pieces.slab_samples, shape.samples - s)};
        slab.size = static_cast<std::size_t>(slab.members * slab.samples * shape.cell);
        slabs_.push_back(slab);
      }
  }

  /// As many slabs at a time as the arena holds, each time one pass over the log.
  void write_samples() {
    const auto room = static_cast<std::size_t>(slab_bytes_) / sizeof(double);
    for (std::size_t begin = 0; begin < slabs_.size();) {
      std::size_t end = begin, used = 0;
      while (end < slabs_.size() && (end == begin || used + slabs_[end].size <= room)) {
        slabs_[end].offset = used;
        used += slabs_[end].size;
        ++end;
      }
      const std::span<Slab> now = std::span(slabs_).subspan(begin, end - begin);
      arena_.assign(used, not_sampled);
      fill(now);
      for (const Slab& slab : now)
        if (slab.touched) put_slab(slab);
      begin = end;
    }
  }

  void fill(std::span<Slab> slabs) {
    std::vector<std::vector<Slab*>> of_variable(layout_.variables.size());
    for (Slab& slab : slabs) of_variable[at(slab.variable)].push_back(&slab);

    const auto end = static_cast<std::uint64_t>(survey_.summary.valid_bytes);
    std::uint64_t next = reader_.first_block();
    while (const auto block = reader_.block(next, end)) {
      next = block->next();
      if (block->head.type != static_cast<std::uint32_t>(BlockType::samples)) continue;
      const auto head = reader_.samples_head(*block);
      if (!head || head->variable < 0 || at(head->variable) >= of_variable.size())
        throw InputError("the sample log changed while it was read");
      const auto& candidates = of_variable[at(head->variable)];
      const auto holds_sample = [&](const Slab* slab) {
        return head->sample >= slab->sample && head->sample < slab->sample + slab->samples;
      };
      if (std::none_of(candidates.begin(), candidates.end(), holds_sample)) continue;
      const SampleBlock samples = reader_.samples(reader_.payload(*block));
      for (Slab* slab : candidates)
        if (holds_sample(slab)) copy(samples, *slab);
    }
  }

  void copy(const SampleBlock& block, Slab& slab) {
    const VariableShape& shape = shapes_[at(block.variable)];
    const auto cell = static_cast<std::size_t>(shape.cell);
    const bool same_extents =
        std::equal(block.extents.begin(), block.extents.end(), shape.extents.begin());
    const std::size_t block_cell = block.values.size() / block.members.size();
    const int group = layout_.variables[at(block.variable)].group;
    for (std::size_t i = 0; i < block.members.size(); ++i) {
      const std::int64_t own =
          group < 0 ? block.members[i] : rows_[at(group)][at(block.members[i])];
      const std::int64_t member = own - slab.member;
      if (member < 0 || member >= slab.members) continue;
      slab.touched = true;
      const auto row = static_cast<std::size_t>(member * slab.samples + block.sample - slab.sample);
      double* to = arena_.data() + slab.offset + row * cell;
      const double* from = block.values.data() + i * block_cell;
      if (same_extents) {
        std::copy_n(from, cell, to);
      } else {
        // Values of the same place that came earlier may have been more.
        std::fill_n(to, cell, not_sampled);
        copy_padded(from, block.extents, to, shape.extents);
      }
    }
  }

  static void copy_padded(const double* from, std::span<const std::int64_t> from_extents,
                          double* to, std::span<const std::int64_t> to_extents) {
    const auto count = static_cast<std::size_t>(from_extents.front());
    if (from_extents.size() == 1) {
      std::copy_n(from, count, to);
      return;
    }
    const auto product = [](std::span<const std::int64_t> sizes) {
      return static_cast<std::size_t>(
          std::accumulate(sizes.begin(), sizes.end(), std::int64_t{1}, std::multiplies<>{}));
    };
    const std::size_t from_stride = product(from_extents.subspan(1));
    const std::size_t to_stride = product(to_extents.subspan(1));
    for (std::size_t i = 0; i < count; ++i)
      copy_padded(from + i * from_stride, from_extents.subspan(1), to + i * to_stride,
                  to_extents.subspan(1));
  }

  void put_slab(const Slab& slab) {
    const VariableLayout& variable = layout_.variables[at(slab.variable)];
    std::vector<std::size_t> start{static_cast<std::size_t>(slab.member)};
    std::vector<std::size_t> count{static_cast<std::size_t>(slab.members)};
    if (variable.cadence >= 0) {
      start.push_back(static_cast<std::size_t>(slab.sample));
      count.push_back(static_cast<std::size_t>(slab.samples));
    }
    for (const std::int64_t extent : shapes_[at(slab.variable)].extents) {
      start.push_back(0);
      count.push_back(static_cast<std::size_t>(extent));
    }
    double* values = arena_.data() + slab.offset;
    if (variable.type == StoredType::i64) {
      // In place: both are 8 bytes, and the arena is not read as doubles again.
      for (std::size_t i = 0; i < slab.size; ++i) {
        const std::int64_t integer = to_integer(values[i]);
        std::memcpy(values + i, &integer, sizeof integer);
      }
    }
    require(nc_put_vara(in(variable.group), ids_[at(slab.variable)], start.data(), count.data(),
                        values));
  }

  static std::int64_t to_integer(double value) {
    constexpr double beyond = 9223372036854775808.0;  // 2^63
    const double rounded = std::round(value);
    return rounded > -beyond && rounded < beyond ? static_cast<std::int64_t>(rounded) : not_set;
  }

  LogReader reader_;
  const Survey& survey_;
  const RecordLayout& layout_;
  std::vector<VariableShape> shapes_;
  std::int64_t slab_bytes_;
  NetcdfFile file_;
  std::map<std::pair<int, std::string>, std::pair<int, std::int64_t>>
      dimensions_;  ///< by group and name: id and size
  std::vector<int> group_ids_;
  std::vector<std::vector<std::int64_t>> rows_;  ///< by group and member; -1: not of the group
  /// Of groups: group id, variable id, the cadence whose steps it holds (-1: the members).
  std::vector<std::array<int, 3>> group_coordinates_;
  std::map<std::string, std::string> coordinates_of_;  ///< names of the coordinates, per dimension
  std::vector<int> coordinate_ids_;                    ///< steps, then the layout's coordinates
  std::vector<int> ids_;                               ///< per variable of the layout
  int status_id_ = 0, end_step_id_ = 0, end_reason_id_ = 0;
  std::vector<Slab> slabs_;
  std::vector<double> arena_;
};

[[noreturn]] void throw_for_full(const std::filesystem::path& record, int failure) {
  throw ResourceError(fmt::format(
      "{}: cannot be written: the disk is full ({}); make room and convert the sample log again",
      record.string(), std::strerror(failure)));
}

/// Creates (or empties) the file, for an error that says more than netCDF's would.
void create_empty(const std::filesystem::path& partial, const std::filesystem::path& record) {
  const int descriptor = open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor >= 0) {
    close(descriptor);
    return;
  }
  if (errno == ENOSPC || errno == EDQUOT) throw_for_full(record, errno);
  throw InputError(
      fmt::format("{}: cannot be created: {}", partial.string(), std::strerror(errno)));
}

/// Empties it first: HDF5 may still hold it open.
void remove_partial(const std::filesystem::path& partial) {
  std::error_code ignored;
  std::filesystem::resize_file(partial, 0, ignored);
  unlink(partial.c_str());
}

void sync_path(const std::filesystem::path& path, int flags) {
  const int descriptor = open(path.c_str(), flags | O_CLOEXEC);
  const bool good = descriptor >= 0 && fsync(descriptor) == 0;
  const int failure = errno;
  if (descriptor >= 0) close(descriptor);
  // Some file systems cannot sync a directory; the record is in place all the same.
  if (!good && (flags & O_DIRECTORY) == 0)
    throw ResourceError(
        fmt::format("{}: cannot be written: {}", path.string(), std::strerror(failure)));
}

}  // namespace

LogSummary write_record(const std::filesystem::path& log, const std::filesystem::path& record,
                        std::int64_t slab_bytes) {
  if (slab_bytes < static_cast<std::int64_t>(sizeof(double)))
    throw std::invalid_argument("write_record: slab_bytes is too small");
  if (std::filesystem::is_directory(record))
    throw InputError(fmt::format("{}: is a directory", record.string()));
  const Survey facts = survey(log);
  std::filesystem::path partial = record;
  partial += ".partial";
  create_empty(partial, record);
  try {
    RecordWriter(log, facts, partial, slab_bytes).write();
    sync_path(partial, O_RDONLY);
    if (rename(partial.c_str(), record.c_str()) != 0)
      throw InputError(
          fmt::format("{}: cannot be put in place: {}", record.string(), std::strerror(errno)));
  } catch (const NetcdfError& problem) {
    const int full = why_full(partial, facts.summary.layout.bytes());
    remove_partial(partial);
    if (full != 0) throw_for_full(record, full);
    throw ResourceError(fmt::format("{}: cannot be written: {}", record.string(), problem.what()));
  } catch (...) {
    remove_partial(partial);
    throw;
  }
  const std::filesystem::path folder = record.parent_path();
  sync_path(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
  return facts.summary;
}

}  // namespace manyfold
