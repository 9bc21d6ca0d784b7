// Matches two experiments member by member, and moves samples to where the new layout has them.
#include "apps/manyfold/extend.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "apps/manyfold/run.hpp"
#include "core/error.hpp"
#include "models/training/model.hpp"

namespace manyfold::apps {
namespace {

namespace fs = std::filesystem;

/// A text of some hundred bytes as 16: there may be millions.
using Digest = std::pair<std::size_t, std::size_t>;
struct DigestHash {
  std::size_t operator()(const Digest& digest) const { return digest.first; }
};
Digest digest_of(const std::string& text) {
  const std::hash<std::string> hash;
  return {hash(text), hash("second:" + text)};
}
using MemberIndex = std::unordered_map<Digest, std::int64_t, DigestHash>;

MemberIndex index_of(const Experiment& experiment) {
  MemberIndex index;
  for (std::int64_t m = 0; m < experiment.members(); ++m) {
    index.emplace(digest_of(experiment.identity(m)), m);
  }
  return index;
}

const Attribute* find_attribute(const RecordLayout& layout, std::string_view name) {
  const auto found = std::find_if(layout.attributes.begin(), layout.attributes.end(),
                                  [&](const auto& attribute) { return attribute.first == name; });
  return found == layout.attributes.end() ? nullptr : &found->second;
}

std::string text_attribute(const RecordLayout& layout, std::string_view name) {
  const Attribute* attribute = find_attribute(layout, name);
  const auto* text = attribute == nullptr ? nullptr : std::get_if<std::string>(attribute);
  return text == nullptr ? "" : *text;
}

/// The earlier run as its log tells it.
struct Earlier {
  fs::path log;
  RecordLayout layout;
  std::map<std::int64_t, MemberEnd> ends;
  std::optional<Experiment> experiment;

  explicit Earlier(const fs::path& folder) : log(log_of(folder)) {
    std::error_code ignored;
    if (!fs::exists(log, ignored)) {
      throw InputError(
          fmt::format("{}: is not there; --extend goes on with the run of a folder", log.string()));
    }
    LogVisitor visitor;
    visitor.on_end = [&](const MemberEnd& end) { ends[end.member] = end; };
    layout = read_log(log, visitor).layout;
    const Attribute* version = find_attribute(layout, "trajectory_version");
    const auto* number = version == nullptr ? nullptr : std::get_if<std::int64_t>(version);
    if (number == nullptr || *number != trajectory_version) {
      throw InputError(fmt::format(
          "{}: comes from a program whose trajectories are of version {}; this one's are of {}: "
          "its members cannot be gone on with",
          log.string(), number == nullptr ? std::string("none") : std::to_string(*number),
          trajectory_version));
    }
    experiment = Experiment::parse(text_attribute(layout, "experiment"),
                                   log.string() + " (its experiment)", {}, experiment_spec());
  }
};

void refuse_changed_common_keys(const Earlier& earlier, const Experiment& experiment) {
  const auto of = [](const Experiment& one) {
    std::map<std::string, std::string> keys;
    for (auto& [path, value] : one.common_keys()) {
      if (path != "name" && path != "record.states") keys[path] = value;
    }
    return keys;
  };
  const auto before = of(*earlier.experiment), now = of(experiment);
  const auto as_before = [&](const std::string& value) {
    return fmt::format("{}, as in {}: --extend adds members and steps only", value,
                       earlier.log.string());
  };
  for (const auto& [path, value] : now) {
    const auto found = before.find(path);
    if (found == before.end()) experiment.base().reject(path, value, as_before("nothing"));
    if (found->second != value) experiment.base().reject(path, value, as_before(found->second));
  }
  for (const auto& [path, value] : before) {
    if (!now.contains(path)) experiment.base().reject(path, "nothing", as_before(value));
  }
}

/// Lines "key = value" of an identity.
std::map<std::string, std::string> keys_of(const std::string& identity) {
  std::map<std::string, std::string> keys;
  for (std::size_t at = 0; at < identity.size();) {
    const std::size_t end = identity.find('\n', at);
    const std::string line = identity.substr(at, end - at);
    if (const std::size_t equals = line.find(" = "); equals != std::string::npos) {
      keys.emplace(line.substr(0, equals), line.substr(equals + 3));
    }
    at = end + 1;
  }
  return keys;
}

/// An old member that the experiment does not have: told by the first key whose value none has.
[[noreturn]] void refuse_vanished(const Earlier& earlier, std::int64_t member,
                                  const Experiment& experiment) {
  auto keys = keys_of(earlier.experiment->identity(member));
  std::map<std::string, std::string> instead;  // a value that a member does have
  std::set<std::string> met;
  for (std::int64_t m = 0; m < experiment.members() && met.size() < keys.size(); ++m) {
    for (const auto& [path, value] : keys_of(experiment.identity(m))) {
      const auto found = keys.find(path);
      if (found != keys.end() && found->second == value) met.insert(path);
      instead.emplace(path, value);
    }
  }
  for (const auto& [path, value] : keys) {
    if (met.contains(path)) continue;
    const auto other = instead.find(path);
    experiment.member(0).reject(
        path, other == instead.end() ? "nothing" : other->second,
        fmt::format("also {}, which member {} of {} has: --extend removes no members", value,
                    member, earlier.log.string()));
  }
  experiment.base().reject(
      earlier.experiment->branch(member) ? "offshoots" : "sweep", "no such member",
      fmt::format("also the settings of member {} of {}: --extend removes no members", member,
                  earlier.log.string()));
}

std::int64_t first_at_or_after(const std::vector<std::int64_t>& steps, std::int64_t step) {
  return std::lower_bound(steps.begin(), steps.end(), step) - steps.begin();
}

/// -1: there is none.
std::int64_t index_of(const std::vector<std::int64_t>& steps, std::int64_t step) {
  const std::int64_t at = first_at_or_after(steps, step);
  return at < static_cast<std::int64_t>(steps.size()) && steps[static_cast<std::size_t>(at)] == step
             ? at
             : -1;
}

/// A file written beside the one that it replaces; gone unless it was put in place.
class Replacement {
 public:
  explicit Replacement(const fs::path& file) : file_(file), partial_(file.string() + ".extending") {
    discard();
  }
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;
  ~Replacement() {
    if (!placed_) discard();
  }
  const fs::path& path() const { return partial_; }
  void put_in_place() {
    std::error_code failed;
    fs::rename(partial_, file_, failed);
    if (failed) {
      throw ResourceError(
          fmt::format("{}: cannot be replaced: {}", file_.string(), failed.message()));
    }
    placed_ = true;
  }

 private:
  void discard() const {
    std::error_code ignored;
    fs::remove(partial_, ignored);
  }
  fs::path file_;
  fs::path partial_;
  bool placed_ = false;
};

}  // namespace

class Extension::Work {
 public:
  Work(const fs::path& folder, const Experiment& experiment, Executor& executor,
       const std::string& path)
      : experiment_(experiment), guard_(guard(folder)), earlier_(folder) {
    refuse_changed_common_keys(earlier_, experiment);
    match();
    open_states(folder);
    plan_ = make_plan(experiment, executor.device());
    decide(folder);
    plan_ = make_plan(experiment, executor.device(), &continuation_);
    choose_paths(plan_, experiment, executor,
                 path_of_record(text_attribute(earlier_.layout, "path"), path));
    add_attributes(plan_.layout, experiment, plan_, executor);
    move_files(folder);
  }

  Plan plan_;
  Continuation continuation_;
  std::optional<SampleLog> log_;
  std::optional<StateLog> states_;

  std::string text() const {
    const auto count = [&](auto condition) {
      return std::count_if(continuation_.position.begin(), continuation_.position.end(), condition);
    };
    return fmt::format(
        "{} members: {} done, {} go on, {} from their starts", continuation_.position.size(),
        count([](std::int64_t p) { return p == Continuation::done; }),
        count([](std::int64_t p) { return p > 0; }), count([](std::int64_t p) { return p == 0; }));
  }

 private:
  /// Holds the log's lock; a second run into the same folder is told so.
  static std::optional<SampleLog> guard(const fs::path& folder) {
    std::error_code ignored;
    if (!fs::exists(log_of(folder), ignored)) return std::nullopt;
    return SampleLog::append_to(log_of(folder));
  }

  void match() {
    const MemberIndex index = index_of(*earlier_.experiment);
    new_of_old_.resize(static_cast<std::size_t>(earlier_.experiment->members()));
    old_of_new_.assign(static_cast<std::size_t>(experiment_.members()), -1);
    for (std::int64_t m = 0; m < experiment_.members(); ++m) {
      const auto found = index.find(digest_of(experiment_.identity(m)));
      if (found == index.end()) continue;
      old_of_new_[static_cast<std::size_t>(m)] = found->second;
      new_of_old_[static_cast<std::size_t>(found->second)].push_back(m);
    }
    for (std::size_t old = 0; old < new_of_old_.size(); ++old) {
      const auto number = static_cast<std::int64_t>(old);
      // One of several with equal settings stands for them all.
      const auto first = index.find(digest_of(earlier_.experiment->identity(number)));
      if (new_of_old_[static_cast<std::size_t>(first->second)].empty()) {
        refuse_vanished(earlier_, number, experiment_);
      }
    }
  }

  /// States are numbered by the experiment that their own log names: a kill between the two renames
  /// of an extension leaves logs of two.
  void open_states(const fs::path& folder) {
    std::error_code ignored;
    if (!fs::exists(states_of(folder), ignored)) return;
    reader_.emplace(states_of(folder));
    const Experiment numbered =
        Experiment::parse(reader_->experiment(), states_of(folder).string() + " (its experiment)",
                          {}, experiment_spec());
    const MemberIndex index = index_of(numbered);
    state_of_new_.assign(static_cast<std::size_t>(experiment_.members()), -1);
    for (std::int64_t m = 0; m < experiment_.members(); ++m) {
      const auto found = index.find(digest_of(experiment_.identity(m)));
      if (found != index.end()) state_of_new_[static_cast<std::size_t>(m)] = found->second;
    }
  }

  bool has_state(std::int64_t member, std::int64_t step) const {
    return reader_ && reader_->has(state_of_new_[static_cast<std::size_t>(member)], step);
  }

  const MemberEnd* end_of(std::int64_t member) const {
    const auto found = earlier_.ends.find(old_of_new_[static_cast<std::size_t>(member)]);
    return found == earlier_.ends.end() ? nullptr : &found->second;
  }

  /// Whether the earlier run sampled a member wherever the new one would have, before its end.
  bool is_covered(std::int64_t begin, std::int64_t end) const {
    for (const std::int64_t step : missing_) {
      if (step >= begin && step < end) return false;
    }
    return true;
  }

  void decide(const fs::path& folder) {
    const auto& now = plan_.layout.cadences;
    for (std::size_t c = 0; c < now.size(); ++c) {
      const auto& before = earlier_.layout.cadences.at(c).steps;
      std::set_difference(now[c].steps.begin(), now[c].steps.end(), before.begin(), before.end(),
                          std::back_inserter(missing_));
    }
    continuation_.position.assign(static_cast<std::size_t>(experiment_.members()), 0);
    continuation_.end_step.assign(continuation_.position.size(), 0);
    for (std::int64_t m = 0; m < experiment_.members(); ++m) {
      continuation_.position[static_cast<std::size_t>(m)] = position_of(m, folder);
      if (const MemberEnd* end = end_of(m)) {
        continuation_.end_step[static_cast<std::size_t>(m)] = end->end_step;
      }
    }
    rerun_parents_without_states();
    continuation_.has_state = [this](std::int64_t m, std::int64_t step) {
      return has_state(m, step);
    };
    continuation_.state = [this](std::int64_t m, std::int64_t step) {
      return reader_ ? reader_->read(state_of_new_[static_cast<std::size_t>(m)], step)
                     : std::nullopt;
    };
  }

  std::int64_t position_of(std::int64_t member, const fs::path& folder) const {
    const MemberEnd* end = end_of(member);
    if (end == nullptr) return 0;
    const std::int64_t stop = experiment_.member(member).integer("stop.steps");
    const auto branch = experiment_.branch(member);
    const bool usable =
        end->end_step <= stop && is_covered(branch ? branch->step : 0, end->end_step);
    if (!usable) return 0;
    switch (end->status) {
      case MemberStatus::converged:
      case MemberStatus::diverged:
      case MemberStatus::left_domain:
      case MemberStatus::underflow:
        return Continuation::done;
      case MemberStatus::finished:
        if (end->end_step == stop) return Continuation::done;
        break;
      case MemberStatus::interrupted:
        if (end->end_step == 0) return 0;
        break;
      default:
        return 0;
    }
    if (!reader_) {
      throw InputError(fmt::format(
          "{}: is not there, and member {} would go on from step {}: that run kept no states "
          "(record.states = false); --overwrite runs everything anew",
          states_of(folder).string(), member, end->end_step));
    }
    return has_state(member, end->end_step) ? end->end_step : 0;
  }

  /// An offshoot that is to be run needs its parent at the branch: from this run, or from its log.
  void rerun_parents_without_states() {
    for (std::int64_t m = experiment_.product(); m < experiment_.members(); ++m) {
      if (continuation_.position[static_cast<std::size_t>(m)] != 0) continue;
      const Branch branch = *experiment_.branch(m);
      std::int64_t& parent = continuation_.position[static_cast<std::size_t>(branch.parent)];
      if (parent == 0 || has_state(branch.parent, branch.step)) continue;
      const bool passes = parent != Continuation::done && parent <= branch.step;
      const bool ended_before =
          parent == Continuation::done &&
          continuation_.end_step[static_cast<std::size_t>(branch.parent)] < branch.step;
      if (!passes && !ended_before) parent = 0;
    }
  }

  void move_files(const fs::path& folder) {
    Replacement log(log_of(folder)), states(states_of(folder));
    log_ = SampleLog::create(log.path(), plan_.layout);
    copy_samples();
    log_->sync();
    if (experiment_.base().boolean("record.states")) {
      states_ = StateLog::create(states.path(), plan_.layout.members, experiment_.resolved_toml());
      copy_states();
      states_->sync();
      states.put_in_place();
    }
    log.put_in_place();
    guard_.reset();
  }

  /// The new sample that shows what an old one shows; -1: none does.
  std::int64_t new_sample(std::size_t cadence, std::int64_t old_step, std::int64_t member) const {
    const auto& steps = plan_.layout.cadences[cadence].steps;
    const std::int64_t position = continuation_.position[static_cast<std::size_t>(member)];
    const std::int64_t end = continuation_.end_step[static_cast<std::size_t>(member)];
    if (position == Continuation::done) {
      // Last states stand at the first sample at or after the end.
      return old_step >= end ? first_at_or_after(steps, end) : index_of(steps, old_step);
    }
    return old_step <= end ? index_of(steps, old_step) : -1;
  }

  void copy_samples() {
    // A variable of a group is another one for the members of another family.
    std::map<std::pair<int, std::string>, int> variables;
    for (std::size_t v = 0; v < plan_.layout.variables.size(); ++v) {
      const VariableLayout& variable = plan_.layout.variables[v];
      variables[{variable.group, variable.name}] = static_cast<int>(v);
    }
    std::vector<int> group_of(static_cast<std::size_t>(experiment_.members()), -1);
    for (std::size_t g = 0; g < plan_.layout.groups.size(); ++g) {
      for (const std::int64_t m : plan_.layout.groups[g].members) {
        group_of[static_cast<std::size_t>(m)] = static_cast<int>(g);
      }
    }
    LogVisitor visitor;
    visitor.on_samples = [&](const SampleBlock& block) {
      const VariableLayout& old =
          earlier_.layout.variables[static_cast<std::size_t>(block.variable)];
      struct Piece {
        std::vector<std::int64_t> members;
        std::vector<double> values;
      };
      std::map<std::pair<int, std::int64_t>, Piece> pieces;  // by new variable and sample
      const std::size_t width = block.values.size() / block.members.size();
      for (std::size_t i = 0; i < block.members.size(); ++i) {
        for (const std::int64_t m : new_of_old_[static_cast<std::size_t>(block.members[i])]) {
          if (continuation_.position[static_cast<std::size_t>(m)] == 0) continue;
          const int group = old.group < 0 ? -1 : group_of[static_cast<std::size_t>(m)];
          const auto found = variables.find({group, old.name});
          if (found == variables.end()) continue;
          std::int64_t sample = 0;
          if (old.cadence >= 0) {
            const auto c = static_cast<std::size_t>(old.cadence);
            const auto& steps = earlier_.layout.cadences[c].steps;
            sample = new_sample(c, steps[static_cast<std::size_t>(block.sample)], m);
            if (sample < 0) continue;
          }
          Piece& piece = pieces[{found->second, sample}];
          piece.members.push_back(m);
          const auto values = block.values.subspan(i * width, width);
          piece.values.insert(piece.values.end(), values.begin(), values.end());
        }
      }
      for (const auto& [place, piece] : pieces) {
        log_->append(SampleBlock{.variable = place.first,
                                 .sample = place.second,
                                 .members = piece.members,
                                 .extents = block.extents,
                                 .values = piece.values});
      }
    };
    read_log(earlier_.log, visitor);
    std::vector<MemberEnd> ends;
    for (std::int64_t m = 0; m < experiment_.members(); ++m) {
      const std::int64_t position = continuation_.position[static_cast<std::size_t>(m)];
      if (position == 0) continue;
      MemberEnd end = *end_of(m);
      end.member = m;
      // If this run is killed, the next one finds it where it stands.
      if (position > 0) end = {m, MemberStatus::interrupted, position, "interrupted"};
      ends.push_back(end);
    }
    log_->append(ends);
  }

  void copy_states() {
    if (!reader_) return;
    for (std::int64_t m = 0; m < experiment_.members(); ++m) {
      if (continuation_.position[static_cast<std::size_t>(m)] == 0) continue;
      const std::int64_t old = state_of_new_[static_cast<std::size_t>(m)];
      for (const std::int64_t step : reader_->steps(old)) {
        if (const auto state = reader_->read(old, step)) states_->append(m, *state);
      }
    }
  }

  const Experiment& experiment_;
  std::optional<SampleLog> guard_;
  Earlier earlier_;
  std::optional<StateReader> reader_;
  std::vector<std::vector<std::int64_t>> new_of_old_;
  std::vector<std::int64_t> old_of_new_;
  std::vector<std::int64_t> state_of_new_;
  std::vector<std::int64_t> missing_;  ///< steps that the new run samples and the earlier did not
};

Extension::Extension(const fs::path& folder, const Experiment& experiment, Executor& executor,
                     const std::string& path)
    : work_(std::make_unique<Work>(folder, experiment, executor, path)) {}
Extension::~Extension() = default;

const Plan& Extension::plan() const { return work_->plan_; }
const Continuation& Extension::continuation() const { return work_->continuation_; }
SampleLog& Extension::log() { return *work_->log_; }
StateLog* Extension::states() { return work_->states_ ? &*work_->states_ : nullptr; }
std::string Extension::text() const { return work_->text(); }

}  // namespace manyfold::apps
