// The loop over samples. The device is always a stretch of steps ahead of the host: a look is
// queued, then the steps to the next look, and only then does the host read the look before.
#include "models/training/trainer.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "core/error.hpp"
#include "core/executor/range.hpp"
#include "models/training/ensemble.hpp"

namespace manyfold {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// What a reason that the device found is called in the record.
struct Ending {
  MemberStatus status;
  const char* reason;
};
Ending ending(std::int32_t reason) {
  switch (static_cast<kernels::StopReason>(reason)) {
    case kernels::StopReason::steps:
      return {MemberStatus::finished, "steps"};
    case kernels::StopReason::train_loss:
      return {MemberStatus::converged, "train_loss"};
    case kernels::StopReason::grad_norm:
      return {MemberStatus::converged, "grad_norm"};
    case kernels::StopReason::non_finite:
      return {MemberStatus::diverged, "not finite"};
    case kernels::StopReason::divergence:
      return {MemberStatus::diverged, "above stop.divergence"};
    case kernels::StopReason::global_minimum:
      return {MemberStatus::converged, "global"};
    case kernels::StopReason::spurious:
      return {MemberStatus::converged, "spurious"};
    case kernels::StopReason::none:
      break;
  }
  return {MemberStatus::interrupted, "interrupted"};
}

/// Steps between two looks where no sample is due: long enough to cost nothing, short enough that
/// progress shows and an interruption is heard soon.
class Heartbeat {
 public:
  explicit Heartbeat(std::int64_t check_every)
      : granule_(check_every <= longest_granule ? check_every : 1),
        steps_(std::min(check_every, longest_granule)) {}
  std::int64_t steps() const { return steps_; }
  void learn(std::int64_t steps_taken, double seconds) {
    constexpr double target = 0.2;
    if (steps_taken < steps_) return;  // a sample came first: says nothing about a full stretch
    const double wanted = static_cast<double>(steps_taken) * target / std::max(seconds, 1e-6);
    const double bounded =
        std::clamp(wanted, 0.5 * static_cast<double>(steps_), 4.0 * static_cast<double>(steps_));
    steps_ = std::max(granule_, static_cast<std::int64_t>(bounded) / granule_ * granule_);
  }

 private:
  /// Whole blocks of steps between two checks replay best, but a block must not outlast a signal.
  static constexpr std::int64_t longest_granule = 200;
  std::int64_t granule_;
  std::int64_t steps_;
};

class Run {
 public:
  Run(const Experiment& experiment, const Plan& plan, const RunContext& context)
      : experiment_(experiment), plan_(plan), context_(context), start_(Clock::now()) {
    int index = 0;
    for (const ProbeRequest& probe : plan.probes.probes) {
      Variables variables;
      if (probe.cadence >= 0 && !probe.kind.is_parameters) variables.sampled = index++;
      for (std::size_t w = 0; w < probe.watches.size(); ++w) variables.watched.push_back(index++);
      variables_.push_back(variables);
    }
    finite_variable_ = index;
    // A measured gap costs a few microseconds, a replay at least ten: one in 256 is well below 1 %.
    if (context.profile) context.executor.measure_gaps(256);
    if (context.continuation == nullptr) return;
    const auto& positions = context.continuation->position;
    summary_.kept = std::count(positions.begin(), positions.end(), Continuation::done);
    progress_.members_done = summary_.kept;
    for (const auto& [parent, steps] : plan.branches) {
      const auto p = static_cast<std::size_t>(parent);
      if (context.continuation->position[p] == Continuation::done) {
        parent_ends_[parent] = context.continuation->end_step[p];
      }
    }
  }

  RunSummary run() {
    progress();
    {
      const Range range(context_.executor, experiment_.base().text("name"));
      for (const bool offshoots : {false, true}) {
        for (std::size_t f = 0; f < plan_.families.size() && !stopping(); ++f) {
          run_family(f, offshoots);
        }
      }
    }
    if (context_.states != nullptr) context_.states->sync();
    summary_.seconds = seconds_since(start_);
    if (context_.profile) {
      // On a CPU host and device are one, so what the host records is time the device waits.
      const bool beside = context_.executor.device().kind != "cpu";
      profile_.idle = std::max(0.0, summary_.seconds - profile_.load - profile_.step -
                                        profile_.probes - (beside ? 0.0 : profile_.record));
      profile_.gaps = context_.executor.gaps();
      summary_.profile = profile_;
    }
    summary_.interrupted = stopping();
    std::int64_t ended = summary_.kept;
    for (const auto& [status, count] : summary_.members) ended += count;
    if (plan_.layout.members > ended) {
      summary_.members[MemberStatus::pending] = plan_.layout.members - ended;
    }
    context_.progress.finish(progress_);
    return summary_;
  }

 private:
  /// Indices into the record's variables.
  struct Variables {
    int sampled = -1;
    std::vector<int> watched;
  };

  bool stopping() const { return context_.stop.load(std::memory_order_relaxed); }

  void run_family(std::size_t index, bool offshoots) {
    const FamilyPlan& family = plan_.families[index];
    const std::vector<FamilyPlan::Wave> waves = family.waves_of(offshoots);
    if (waves.empty()) return;
    const Settings example = experiment_.member(family.example);
    const Range range(context_.executor, family.description);
    Ensemble ensemble(context_.executor, example, family, plan_.probes, plan_.check_every);
    std::int64_t number = 0;
    for (const FamilyPlan::Wave& planned : waves) {
      if (stopping()) break;
      const std::span all = std::span(family.members).subspan(planned.first, planned.count);
      const std::vector<std::int64_t> members =
          offshoots ? with_parents(all) : std::vector(all.begin(), all.end());
      progress_.phase = fmt::format("family {}/{}", index + 1, plan_.families.size());
      if (waves.size() > 1)
        progress_.phase += fmt::format(", wave {}/{}", number + 1, waves.size());
      if (offshoots) progress_.phase += " of offshoots";
      context_.events.info("wave_started",
                           fmt::format("{}: {} {}, {} slots", family.description, members.size(),
                                       offshoots ? "offshoots" : "members", family.slots),
                           {{"family", family.description},
                            {"wave", number++},
                            {"members", static_cast<std::int64_t>(members.size())},
                            {"offshoots", offshoots}});
      if (!members.empty()) run_wave(ensemble, family, members, offshoots);
    }
    const kernels::ResidentUsage used = ensemble.usage();
    summary_.usage.member_steps += used.member_steps;
    summary_.usage.place_steps += used.place_steps;
    summary_.usage.drain_member_steps += used.drain_member_steps;
    summary_.usage.drain_place_steps += used.drain_place_steps;
  }

  /// Offshoots whose parents got to the branch; the others stay pending.
  std::vector<std::int64_t> with_parents(std::span<const std::int64_t> offshoots) {
    std::vector<std::int64_t> members;
    std::vector<MemberEnd> never;
    for (const std::int64_t m : offshoots) {
      const Branch branch = *experiment_.branch(m);
      if (has_state(branch.parent, branch.step)) {
        members.push_back(m);
        continue;
      }
      const auto end = parent_ends_.find(branch.parent);
      never.push_back(
          {m, MemberStatus::pending, 0,
           end == parent_ends_.end()
               ? fmt::format("no state of member {} at step {}", branch.parent, branch.step)
               : fmt::format("member {} ended at step {}, before the branch", branch.parent,
                             end->second)});
    }
    record(never);
    return members;
  }

  bool has_state(std::int64_t member, std::int64_t step) const {
    return kept_.contains({member, step}) ||
           (context_.continuation != nullptr && context_.continuation->has_state(member, step));
  }

  /// The state with which a member enters its wave.
  std::shared_ptr<const SlotState> take_state(std::int64_t member, bool offshoot) {
    std::int64_t step = plan_.begin_of(member);
    std::int64_t owner = member;
    if (offshoot) {
      owner = experiment_.branch(member)->parent;
      const auto kept = kept_.find({owner, step});
      if (kept != kept_.end()) {
        std::shared_ptr<const SlotState> state = kept->second.state;
        if (--kept->second.waiting == 0) kept_.erase(kept);
        return state;
      }
    }
    auto state =
        context_.continuation == nullptr ? std::nullopt : context_.continuation->state(owner, step);
    if (!state)
      throw ResourceError(fmt::format("the state of member {} at step {} is gone", owner, step));
    return std::make_shared<const SlotState>(*std::move(state));
  }

  void run_wave(Ensemble& ensemble, const FamilyPlan& family,
                const std::vector<std::int64_t>& members, bool offshoots) {
    std::vector<Settings> settings;
    settings.reserve(members.size());
    std::int64_t last = 0;
    std::vector<std::int64_t> begin;
    std::vector<bool> waiting;
    for (const std::int64_t m : members) {
      settings.push_back(experiment_.member(m));
      last = std::max(last, settings.back().integer("stop.steps"));
      begin.push_back(plan_.begin_of(m));
      waiting.push_back(offshoots || begin.back() > 0);
    }
    const auto loading = Clock::now();
    {
      const Range range(context_.executor, "load");
      ensemble.load(settings, waiting);
    }
    profile_.load += seconds_since(loading);

    const auto& cadences = plan_.layout.cadences;
    Wave wave{.ensemble = ensemble,
              .family = family,
              .members = members,
              .offshoots = offshoots,
              .begin = begin,
              .entered = static_cast<std::size_t>(std::find(waiting.begin(), waiting.end(), true) -
                                                  waiting.begin()),
              .ended = std::vector<bool>(members.size(), false),
              .steps_seen = begin,
              .next = std::vector<std::size_t>(cadences.size(), 0),
              .pending = std::vector<std::size_t>(cadences.size(), 0)};
    for (std::size_t slot = 0; slot < members.size(); ++slot) {
      const auto branches = plan_.branches.find(members[slot]);
      if (branches == plan_.branches.end()) continue;
      for (const auto& [step, count] : branches->second) {
        if (step >= begin[slot]) wave.branches[step].push_back(slot);
      }
    }
    std::int64_t position = begin.front();  // ascending
    wave.skip_to(position, cadences);
    Heartbeat heartbeat(plan_.check_every);
    std::optional<Ensemble::Look> before;
    Stretch stretch;
    std::optional<Stretch> stretch_before;
    for (;;) {
      enter(wave, position);
      std::vector<int> due;
      std::int64_t target = std::min(
          {last, position + heartbeat.steps(), wave.next_entry(), wave.next_branch(position)});
      for (std::size_t c = 0; c < cadences.size(); ++c) {
        const auto& steps = cadences[c].steps;
        std::size_t next = wave.next_to_look(c);
        if (next < steps.size() && steps[next] == position) {
          due.push_back(static_cast<int>(c));
          ++next;
        }
        if (next < steps.size()) target = std::min(target, std::max(steps[next], position));
      }
      const auto began = Clock::now();
      if (context_.profile) stretch.began = context_.executor.moment();
      Ensemble::Look look = [&] {
        const Range range(context_.executor, "probe");
        return ensemble.look(position, due);
      }();
      wave.looked(due);
      keep_branches(wave, position);
      if (context_.profile) stretch.looked = context_.executor.moment();
      if (position < last) {
        const Range range(context_.executor, "step");
        ensemble.advance(position, target);
      }
      if (context_.profile) stretch.stepped = context_.executor.moment();
      if (before) take(wave, *before);
      if (context_.profile) {
        if (stretch_before) count(*stretch_before);
        stretch_before = stretch;
      }
      heartbeat.learn(target - position, seconds_since(began));
      before = look;
      const bool finished = position == last;
      position = target;
      if (finished || stopping() || (wave.live == 0 && !wave.entries_left())) break;
      if (wave.live == 0) {
        // Nobody moves until the next member enters.
        take(wave, *before);
        before.reset();
        show_last(wave, position, wave.next_entry());
        position = wave.next_entry();
        wave.skip_to(position, cadences);
      }
    }
    take(wave, *before);
    if (stretch_before) count(*stretch_before);
    take_last(wave, position);
    finish(wave);
  }

  /// Members in slots 0, 1, ..., ascending by the step at which they enter.
  struct Wave {
    static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

    Ensemble& ensemble;
    const FamilyPlan& family;
    std::span<const std::int64_t> members;
    bool offshoots;
    std::vector<std::int64_t> begin;
    std::size_t entered;  ///< slots from here on wait for their members to enter
    std::vector<bool> ended;
    std::vector<std::int64_t> steps_seen;  ///< per slot, for counting member-steps
    std::vector<std::size_t> next;         ///< per cadence: index of the next sample to be read
    std::vector<std::size_t> pending;      ///< per cadence: looks queued but not read
    std::int64_t live = -1;                ///< active slots at the last look read; -1: none yet
    std::map<std::int64_t, std::vector<std::size_t>> branches{};  ///< step -> slots to be kept

    std::size_t next_to_look(std::size_t c) const { return next[c] + pending[c]; }
    void looked(const std::vector<int>& due) {
      for (const int c : due) ++pending[static_cast<std::size_t>(c)];
    }
    /// Samples of earlier steps are not of this wave, or were shown.
    void skip_to(std::int64_t step, const std::vector<CadenceLayout>& cadences) {
      for (std::size_t c = 0; c < cadences.size(); ++c) {
        const auto& steps = cadences[c].steps;
        const auto first = std::lower_bound(steps.begin(), steps.end(), step);
        next[c] = std::max(next[c], static_cast<std::size_t>(first - steps.begin()));
      }
    }
    bool is_waiting(std::size_t slot) const { return slot >= entered; }
    bool entries_left() const { return entered < members.size(); }
    std::int64_t next_entry() const { return entries_left() ? begin[entered] : never; }
    std::int64_t next_branch(std::int64_t position) const {
      const auto later = branches.upper_bound(position);
      return later == branches.end() ? never : later->first;
    }
    /// Whether the slot's member had entered when the device was looked at.
    bool is_seen(std::size_t slot, const Ensemble::Look& look) const {
      return !is_waiting(slot) && begin[slot] <= look.step;
    }
  };

  /// Members that begin here take over their states.
  void enter(Wave& wave, std::int64_t position) {
    if (wave.next_entry() != position) return;
    const Range range(context_.executor, "enter");
    const auto entering = Clock::now();
    std::vector<Ensemble::Entry> entries;
    std::vector<std::shared_ptr<const SlotState>> states;
    for (; wave.next_entry() == position; ++wave.entered) {
      states.push_back(take_state(wave.members[wave.entered], wave.offshoots));
      entries.push_back({static_cast<std::int64_t>(wave.entered), states.back().get()});
    }
    wave.ensemble.enter(entries);
    profile_.load += seconds_since(entering);
  }

  /// Keeps the states of parents that stand at a branch step; those that ended before stay out.
  void keep_branches(Wave& wave, std::int64_t position) {
    const auto here = wave.branches.find(position);
    if (here == wave.branches.end()) return;
    for (const std::size_t slot : here->second) {
      if (wave.is_waiting(slot)) continue;
      SlotState state = std::move(wave.ensemble.save(static_cast<std::int64_t>(slot), 1).front());
      if (state.step != position) continue;
      const std::int64_t member = wave.members[slot];
      if (context_.states != nullptr) context_.states->append(member, state);
      kept_[{member, position}] = {std::make_shared<const SlotState>(std::move(state)),
                                   plan_.branches.at(member).at(position)};
    }
    if (context_.states != nullptr) context_.states->flush();
  }

  /// Moments of one pass of the loop, read a pass later so that nothing waits for them.
  struct Stretch {
    Moment began;
    Moment looked;
    Moment stepped;
  };
  void count(const Stretch& stretch) {
    profile_.probes += context_.executor.seconds_between(stretch.began, stretch.looked);
    profile_.step += context_.executor.seconds_between(stretch.looked, stretch.stepped);
  }

  /// Reads a look: logs its samples and the members that ended since the one before.
  void take(Wave& wave, const Ensemble::Look& look) {
    wave.ensemble.await(look);
    const Range range(context_.executor, "record");
    const auto recording = Clock::now();
    const ControlView control = wave.ensemble.control(look);
    for (const int c : look.cadences) {
      log_samples(wave, look, c, control);
      ++wave.next[static_cast<std::size_t>(c)];
      --wave.pending[static_cast<std::size_t>(c)];
    }
    std::vector<MemberEnd> ends;
    wave.live = 0;
    for (std::size_t slot = 0; slot < wave.members.size(); ++slot) {
      if (!wave.is_seen(slot, look)) {
        if (!wave.is_waiting(slot)) ++wave.live;  // entered since
        continue;
      }
      const std::int64_t steps = control.step[slot];
      summary_.member_steps += steps - wave.steps_seen[slot];
      wave.steps_seen[slot] = steps;
      if (control.active[slot] != 0) {
        ++wave.live;
      } else if (!wave.ended[slot]) {
        wave.ended[slot] = true;
        const Ending how = ending(control.reason[slot]);
        ends.push_back({wave.members[slot], how.status, steps, how.reason});
      }
    }
    record(ends);
    profile_.record += seconds_since(recording);
    progress();
  }

  /// Samples that the loop left: if all members ended before the next ones were due, those show the
  /// members' last states; after an interruption, those that are due just where the members stand.
  void take_last(Wave& wave, std::int64_t position) {
    std::vector<int> due;
    for (std::size_t c = 0; c < wave.next.size(); ++c) {
      const auto& steps = plan_.layout.cadences[c].steps;
      if (wave.next[c] >= steps.size()) continue;
      if (wave.live == 0 || steps[wave.next[c]] == position) due.push_back(static_cast<int>(c));
    }
    if (due.empty()) return;
    const Ensemble::Look look = wave.ensemble.look(position, due);
    wave.looked(due);
    take(wave, look);
  }

  /// Last states of members that all ended, where samples are due before step `end`.
  void show_last(Wave& wave, std::int64_t position, std::int64_t end) {
    std::vector<int> due;
    for (std::size_t c = 0; c < wave.next.size(); ++c) {
      const auto& steps = plan_.layout.cadences[c].steps;
      if (wave.next[c] < steps.size() && steps[wave.next[c]] < end) {
        due.push_back(static_cast<int>(c));
      }
    }
    if (due.empty()) return;
    const Ensemble::Look look = wave.ensemble.look(position, due);
    wave.looked(due);
    take(wave, look);
  }

  void log_samples(const Wave& wave, const Ensemble::Look& look, int cadence,
                   const ControlView& control) {
    const auto c = static_cast<std::size_t>(cadence);
    const auto& steps = plan_.layout.cadences[c].steps;
    const std::size_t sample = wave.next[c];
    // A member that ended at or before the sample before this one has shown its last state there.
    std::vector<std::size_t> slots;
    std::vector<std::int64_t> numbers;
    for (std::size_t slot = 0; slot < wave.members.size(); ++slot) {
      if (!wave.is_seen(slot, look)) continue;
      if (sample == 0 || control.step[slot] > steps[sample - 1]) {
        slots.push_back(slot);
        numbers.push_back(wave.members[slot]);
      }
    }
    if (slots.empty()) return;
    const double* values = wave.ensemble.values(look, cadence);
    const auto width = static_cast<std::size_t>(wave.ensemble.width(cadence));
    std::vector<double> block;
    auto log = [&](int variable, std::int64_t offset, std::span<const std::int64_t> extents) {
      std::int64_t count = 1;
      for (const std::int64_t extent : extents) count *= extent;
      block.clear();
      for (const std::size_t slot : slots) {
        const double* from = values + slot * width + offset;
        block.insert(block.end(), from, from + count);
      }
      append(variable, extents, static_cast<std::int64_t>(sample), numbers, block);
    };
    for (const Ensemble::Place& place : wave.ensemble.places(cadence)) {
      const auto probe = static_cast<std::size_t>(place.probe);
      if (!plan_.probes.probes[probe].kind.is_parameters) {
        log(variables_[probe].sampled, place.offset, place.extents);
        continue;
      }
      std::int64_t offset = place.offset;
      int variable = wave.family.first_array;
      for (const ParameterArray& array : wave.family.arrays) {
        log(variable++, offset, array.shape);
        offset += array.shape[0] * array.shape[1];
      }
    }
  }

  void append(int variable, std::span<const std::int64_t> extents, std::int64_t sample,
              std::span<const std::int64_t> numbers, std::span<const double> block) {
    context_.log.append(SampleBlock{.variable = variable,
                                    .sample = sample,
                                    .members = numbers,
                                    .extents = extents,
                                    .values = block});
  }

  /// What is known once a member: watches and last finite values.
  void finish(Wave& wave) {
    save_last_states(wave);
    std::vector<std::size_t> slots;
    std::vector<std::int64_t> members;
    for (std::size_t slot = 0; slot < wave.entered; ++slot) {
      slots.push_back(slot);
      members.push_back(wave.members[slot]);
    }
    const std::vector<double> watched = wave.ensemble.watched();
    const auto width = static_cast<std::size_t>(wave.ensemble.watched_width());
    std::vector<double> block;
    for (const Ensemble::Place& place : wave.ensemble.watched_places()) {
      block.clear();
      for (const std::size_t slot : slots) {
        const auto from =
            watched.begin() + static_cast<std::ptrdiff_t>(slot * width) + place.offset;
        block.insert(block.end(), from, from + place.width);
      }
      append(variables_[static_cast<std::size_t>(place.probe)]
                 .watched[static_cast<std::size_t>(place.watch)],
             place.extents, 0, members, block);
    }

    const Ensemble::Look look = wave.ensemble.look(0, {});
    wave.ensemble.await(look);
    const ControlView control = wave.ensemble.control(look);
    std::array<std::vector<double>, 3> finite;
    std::vector<MemberEnd> interrupted;
    for (const std::size_t slot : slots) {
      const bool seen = control.finite_step[slot] >= 0;
      finite[0].push_back(seen ? static_cast<double>(control.finite_step[slot])
                               : std::numeric_limits<double>::quiet_NaN());
      finite[1].push_back(control.finite_train_loss[slot]);
      finite[2].push_back(control.finite_grad_norm[slot]);
      summary_.member_steps += control.step[slot] - wave.steps_seen[slot];
      if (wave.ended[slot]) continue;
      const Ending how = ending(control.reason[slot]);
      interrupted.push_back({wave.members[slot], how.status, control.step[slot], how.reason});
    }
    for (std::size_t i = 0; i < finite.size(); ++i) {
      context_.log.append(SampleBlock{.variable = finite_variable_ + static_cast<int>(i),
                                      .sample = 0,
                                      .members = members,
                                      .extents = {},
                                      .values = finite[i]});
    }
    record(interrupted);
  }

  /// States with which members may be gone on with: a state that ended by itself has no next step.
  void save_last_states(Wave& wave) {
    if (context_.states == nullptr) return;
    const Range range(context_.executor, "save");
    const Ensemble::Look look = wave.ensemble.look(0, {});
    wave.ensemble.await(look);
    const ControlView control = wave.ensemble.control(look);
    // Pieces of consecutive slots, each a few copies for all of them and little host memory.
    constexpr std::size_t piece_bytes = std::size_t{64} << 20;
    const std::size_t most = std::max<std::size_t>(
        1, piece_bytes / std::max<std::size_t>(1, wave.ensemble.state_bytes()));
    for (std::size_t first = 0; first < wave.members.size(); first += most) {
      const std::size_t count = std::min(most, wave.members.size() - first);
      const std::vector<SlotState> states =
          wave.ensemble.save(static_cast<std::int64_t>(first), static_cast<std::int64_t>(count));
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t slot = first + i;
        const auto reason = static_cast<kernels::StopReason>(control.reason[slot]);
        const bool goes_on =
            reason == kernels::StopReason::none || reason == kernels::StopReason::steps;
        if (!wave.is_waiting(slot) && goes_on)
          context_.states->append(wave.members[slot], states[i]);
      }
    }
    context_.states->flush();
  }

  void record(const std::vector<MemberEnd>& ends) {
    if (ends.empty()) return;
    context_.log.append(ends);
    for (const MemberEnd& end : ends) {
      if (plan_.branches.contains(end.member)) parent_ends_[end.member] = end.end_step;
      if (end.status == MemberStatus::pending) continue;  // counted with the others that are
      ++summary_.members[end.status];
      ++progress_.members_done;
      if (end.status == MemberStatus::diverged) {
        context_.events.info("member_diverged",
                             fmt::format("member {} diverged at step {}: {}", end.member,
                                         end.end_step, end.end_reason),
                             {{"member", end.member}, {"step", end.end_step}});
      }
    }
  }

  void progress() {
    progress_.members = plan_.layout.members;
    progress_.member_steps = summary_.member_steps;
    progress_.member_steps_total = plan_.member_steps;
    context_.progress.update(progress_);
  }

  const Experiment& experiment_;
  const Plan& plan_;
  const RunContext& context_;
  Clock::time_point start_;
  std::vector<Variables> variables_;
  int finite_variable_ = 0;
  RunSummary summary_;
  Profile profile_;
  ProgressState progress_;
  struct Kept {
    std::shared_ptr<const SlotState> state;
    std::int64_t waiting = 0;  ///< offshoots that have not entered yet
  };
  std::map<std::pair<std::int64_t, std::int64_t>, Kept> kept_;  ///< by parent and step
  std::unordered_map<std::int64_t, std::int64_t> parent_ends_;
};

}  // namespace

RunSummary run_experiment(const Experiment& experiment, const Plan& plan,
                          const RunContext& context) {
  return Run(experiment, plan, context).run();
}

}  // namespace manyfold
