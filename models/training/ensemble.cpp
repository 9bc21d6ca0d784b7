// Records a family's programs once and replays them.
//
// A checked step evaluates the gradient with loss and norm, ends members whose stop condition holds
// at that state, lets running and event probes look, then moves the others; a plain step only
// moves. Checks fall on multiples of check_every, so they look at step 0 first.
#include "models/training/ensemble.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>

#include "kernels/combine.hpp"
#include "kernels/resident/choice.hpp"
#include "kernels/resident/compile.hpp"
#include "kernels/stepping.hpp"
#include "kernels/watch.hpp"

namespace manyfold {
namespace {

/// Blocks of more steps than this are replayed in pieces: a program's size must stay bounded.
constexpr std::int64_t longest_block = 200;

std::vector<std::int64_t> extents_of(const Settings& example, const ProbeKind& kind) {
  if (kind.extents.empty()) return {};
  return model_kind(example).extents(example, kind);
}

std::int64_t product(const std::vector<std::int64_t>& extents) {
  std::int64_t width = 1;
  for (const std::int64_t extent : extents) width *= extent;
  return width;
}

}  // namespace

std::size_t Ensemble::bytes_per_slot(const Settings& example, const ProbePlan& probes,
                                     std::int64_t parameters) {
  std::size_t doubles = 0;
  std::int64_t scratch = 0;
  for (const ProbeRequest& probe : probes.probes) {
    const std::int64_t width = product(extents_of(example, probe.kind));
    if (probe.cadence >= 0) doubles += static_cast<std::size_t>(width);
    doubles += static_cast<std::size_t>(width) * probe.watches.size();
    if (!probe.watches.empty()) scratch = std::max(scratch, width);
  }
  return 3 * ControlBlock::bytes_per_slot() +
         (doubles + static_cast<std::size_t>(scratch)) * sizeof(double) +
         optimizer_kind(example).bytes_per_slot(example, parameters, element_bytes(example));
}

std::size_t Ensemble::state_bytes(const Settings& example, const ProbePlan& probes,
                                  const Footprint& footprint) {
  std::size_t bytes = static_cast<std::size_t>(footprint.parameters) * element_bytes(example) +
                      footprint.remembered_bytes +
                      optimizer_kind(example).bytes_per_slot(example, footprint.parameters,
                                                             element_bytes(example)) +
                      ControlBlock::bytes_per_slot();
  for (const ProbeRequest& probe : probes.probes) {
    const auto width = static_cast<std::size_t>(product(extents_of(example, probe.kind)));
    bytes += width * probe.watches.size() * sizeof(double);
  }
  return bytes;
}

Ensemble::Ensemble(Executor& executor, const Settings& example, const FamilyPlan& family,
                   const ProbePlan& probes, std::int64_t check_every)
    : executor_(executor),
      probes_(probes),
      slots_(family.slots),
      check_every_(check_every),
      touched_bytes_(family.footprint.bytes_per_slot + family.footprint.shared_bytes),
      optimizer_needs_gradient_(optimizer_kind(example).needs_gradient),
      optimizer_needs_norm_(optimizer_kind(example).needs_grad_norm2),
      optimizer_name_(optimizer_kind(example).name),
      control_(executor, family.slots),
      work_(executor, family.slots, family.slots_in_window()),
      model_(
          model_kind(example).make(executor, example, family.slots, family.shared_problem, work_)),
      optimizer_(optimizer_kind(example).make({executor, *model_, example, family.slots})) {
  samples_.resize(probes.cadences.size());
  for (std::size_t p = 0; p < probes.probes.size(); ++p) {
    const ProbeRequest& probe = probes.probes[p];
    const std::vector<std::int64_t> extents = extents_of(example, probe.kind);
    const std::int64_t width = product(extents);
    if (probe.cadence >= 0) {
      Samples& samples = samples_[static_cast<std::size_t>(probe.cadence)];
      samples.places.push_back({static_cast<int>(p), -1, samples.width, width, extents});
      samples.width += width;
    }
    for (std::size_t w = 0; w < probe.watches.size(); ++w) {
      watch_places_.push_back(
          {static_cast<int>(p), static_cast<int>(w), watch_width_, width, extents});
      watch_width_ += width;
      scratch_width_ = std::max(scratch_width_, width);
    }
  }
  for (Samples& samples : samples_) {
    samples.device = Buffer<double>(executor, slots_ * samples.width);
    for (auto& host : samples.host) host = PinnedBuffer<double>(executor, slots_ * samples.width);
  }
  const auto control_bytes = static_cast<std::int64_t>(control_.bytes());
  for (auto& copy : control_copies_) copy = PinnedBuffer<std::byte>(executor, control_bytes);
  for (auto& snapshot : control_snapshots_) snapshot = Buffer<std::byte>(executor, control_bytes);
  watch_state_ = Buffer<double>(executor, slots_ * watch_width_);
  watch_scratch_ = Buffer<double>(executor, slots_ * scratch_width_);
  record_looks();
  if (family.path == Path::resident) compile_resident();
  if (resident_ == nullptr) record_steps();
}

void Ensemble::evaluate(bool checked) {
  const kernels::StepControl control = control_.control();
  if (checked) {
    model_->evaluate(control, {.train_loss = true, .grad_norm2 = true});
  } else if (optimizer_needs_gradient_) {
    model_->evaluate(control, {.train_loss = false, .grad_norm2 = optimizer_needs_norm_});
  }
}

void Ensemble::inspect() {
  const kernels::StepControl control = control_.control();
  kernels::check_stop(executor_, control);
  model_->check(control);
  observe_watches();
}

void Ensemble::move() {
  const kernels::StepControl control = control_.control();
  optimizer_->step(control);
  kernels::advance(executor_, control);
}

void Ensemble::compile_resident() {
  resident_.reset();  // its device memory makes room for the next
  namespace resident = kernels::resident;
  std::vector<resident::Persistent> persistent;
  for (const StateArray& array : state()) persistent.push_back({array.data, array.bytes});
  resident::Compiled compiled =
      resident::compile(executor_, {.evaluate_checked = [&] { evaluate(true); },
                                    .inspect = [&] { inspect(); },
                                    .evaluate = [&] { evaluate(false); },
                                    .move = [&] { move(); },
                                    .control = control_.control(),
                                    .check_every = check_every_,
                                    .persistent = persistent});
  why_not_resident_ = compiled.program == nullptr
                          ? compiled.why_not
                          : resident::why_not_resident(executor_.device(), *compiled.program);
  if (!why_not_resident_.empty()) {
    // choose_paths found that there is one, and gradients have no memory of their own now.
    if (work_.windows() > 1) throw std::logic_error("not resident: " + why_not_resident_);
    return;
  }
  if (usage_.size() == 0) {
    usage_ = Buffer<kernels::ResidentUsage>(executor_, 1);
    usage_.clear();
  }
  resident_ = std::move(compiled.program);
}

std::size_t Ensemble::resident_bytes() const {
  return resident_ == nullptr ? 0 : usage_.bytes() + resident_->device_memory.bytes();
}

kernels::ResidentUsage Ensemble::usage() const {
  return resident_ == nullptr ? kernels::ResidentUsage{} : usage_.download().front();
}

void Ensemble::plain_step() {
  evaluate(false);
  move();
}

void Ensemble::checked_step() {
  evaluate(true);
  inspect();
  move();
}

bool Ensemble::waits(const std::vector<Place>& places) const {
  return std::any_of(places.begin(), places.end(), [&](const Place& place) {
    const ProbeKind& kind = probes_.probes[static_cast<std::size_t>(place.probe)].kind;
    return kind.waits || model_->waits(kind.name);
  });
}

void Ensemble::record_steps() {
  const ActiveSlots active{control_.control().active, slots_};
  const bool waits = this->waits(watch_places_);
  plain_program_ = executor_.record(active, touched_bytes_, [this] { plain_step(); });
  checked_program_ = executor_.record(
      active, touched_bytes_, [this] { checked_step(); }, waits);
  if (check_every_ > longest_block) return;
  block_program_ = executor_.record(
      active, touched_bytes_,
      [this] {
        checked_step();
        for (std::int64_t i = 1; i < check_every_; ++i) plain_step();
      },
      waits);
}

void Ensemble::record_looks() {
  for (Samples& samples : samples_) {
    const auto observe_all = [this, &samples] {
      for (const Place& place : samples.places) {
        observe(probes_.probes[static_cast<std::size_t>(place.probe)],
                samples.device.data() + place.offset, samples.width);
      }
    };
    samples.programs = record_look(observe_all, waits(samples.places));
  }
  if (watch_width_ > 0) {
    watch_programs_ = record_look([this] { observe_watches(); }, waits(watch_places_));
  }
}

std::vector<std::unique_ptr<Program>> Ensemble::record_look(const std::function<void()>& observe,
                                                            bool waits) {
  std::vector<std::unique_ptr<Program>> programs;
  for (std::int64_t w = 0; w < work_.windows(); ++w) {
    const std::int64_t slots =
        std::min(work_.slots_in_window(), slots_ - w * work_.slots_in_window());
    const auto look = [this, w, observe] {
      work_.in_window(w, [&] {
        model_->evaluate(control_.control(), {.train_loss = true, .grad_norm2 = true});
        observe();
      });
    };
    programs.push_back(executor_.record({nullptr, slots}, touched_bytes_, look, waits));
  }
  return programs;
}

void Ensemble::run(const std::vector<std::unique_ptr<Program>>& programs) {
  for (const auto& program : programs) {
    const std::array burst{Burst{program.get(), 1}};
    executor_.run(burst);
  }
}

void Ensemble::observe(const ProbeRequest& probe, double* out, std::int64_t stride) {
  const kernels::StepControl control = control_.control();
  auto copy = [&](const double* from, bool square_root) {
    kernels::combine(executor_, {.slots = slots_,
                                 .count = 1,
                                 .square_root = square_root,
                                 .numerator = from,
                                 .numerator_stride = 1,
                                 .out = out,
                                 .out_stride = stride});
  };
  if (probe.of == "train_loss") return copy(control.train_loss, false);
  if (probe.of == "grad_norm") return copy(control.grad_norm2, true);
  if (probe.of == "time") return copy(control.time, false);
  model_->observe(probe.kind.name, out, stride);
}

void Ensemble::observe_watches() {
  const kernels::StepControl control = control_.control();
  int observed = -1;
  for (const Place& place : watch_places_) {
    const ProbeRequest& probe = probes_.probes[static_cast<std::size_t>(place.probe)];
    if (place.probe != observed) {
      observe(probe, watch_scratch_.data(), scratch_width_);
      observed = place.probe;
    }
    const Watch& watch = probe.watches[static_cast<std::size_t>(place.watch)];
    double* state = watch_state_.data() + place.offset;
    if (watch.kind == Watch::Kind::maximum || watch.kind == Watch::Kind::minimum) {
      kernels::running_extreme(executor_, {.slots = slots_,
                                           .count = place.width,
                                           .values = watch_scratch_.data(),
                                           .values_stride = scratch_width_,
                                           .extremes = state,
                                           .extremes_stride = watch_width_,
                                           .maximum = watch.kind == Watch::Kind::maximum});
    } else {
      kernels::first_crossing(executor_, {.slots = slots_,
                                          .count = place.width,
                                          .values = watch_scratch_.data(),
                                          .values_stride = scratch_width_,
                                          .threshold = watch.threshold,
                                          .below = watch.kind == Watch::Kind::first_below,
                                          .step = control.step,
                                          .first = state,
                                          .first_stride = watch_width_});
    }
  }
}

void Ensemble::load(std::span<const Settings> members, const std::vector<bool>& waiting) {
  model_->load(members);
  optimizer_->load(members);
  control_.load(members, waiting);
  // What is sparse is known only now.
  if (resident_ != nullptr) compile_resident();
  if (watch_width_ > 0) {
    constexpr double nothing = std::numeric_limits<double>::quiet_NaN();
    watch_state_.upload(
        std::vector<double>(static_cast<std::size_t>(watch_state_.size()), nothing));
  }
}

std::vector<StateArray> Ensemble::state() {
  std::vector<StateArray> all;
  const auto add = [&](const std::string& owner, std::vector<StateArray> arrays) {
    for (StateArray& array : arrays) {
      array.name = owner + "/" + array.name;
      all.push_back(std::move(array));
    }
  };
  std::visit([&](const auto& typed) { add("model", {vector_state("parameters", typed.values)}); },
             model_->parameters());
  add("probe", model_->state());
  // Kinds of optimizers mean different things by one name.
  add("optimizer/" + optimizer_name_, optimizer_->state());
  add("control", control_.state());
  for (const Place& place : watch_places_) {
    const auto& watches = probes_.probes[static_cast<std::size_t>(place.probe)].watches;
    add("watch", {{watches[static_cast<std::size_t>(place.watch)].variable,
                   reinterpret_cast<std::byte*>(watch_state_.data() + place.offset),
                   static_cast<std::size_t>(place.width) * sizeof(double),
                   static_cast<std::size_t>(watch_width_) * sizeof(double)}});
  }
  return all;
}

std::size_t Ensemble::state_bytes() {
  std::size_t bytes = 0;
  for (const StateArray& array : state()) bytes += array.bytes;
  return bytes;
}

void Ensemble::enter(std::span<const Entry> entries) {
  if (entries.empty()) return;
  std::vector<std::int64_t> slots;
  for (const Entry& entry : entries) slots.push_back(entry.slot);
  const auto [lowest, highest] = std::minmax_element(slots.begin(), slots.end());
  for (const StateArray& array : state()) {
    // One copy there and back, however many slots lie in between.
    std::byte* const from = array.data + static_cast<std::size_t>(*lowest) * array.stride;
    std::vector<std::byte> host(static_cast<std::size_t>(*highest - *lowest) * array.stride +
                                array.bytes);
    bool changed = false;
    for (const Entry& entry : entries) {
      for (const SlotState::Array& saved : entry.state->arrays) {
        if (saved.name != array.name || saved.bytes.size() != array.bytes) continue;
        if (!changed) executor_.copy_out(host.data(), from, host.size());
        changed = true;
        std::copy(
            saved.bytes.begin(), saved.bytes.end(),
            host.begin() + static_cast<std::ptrdiff_t>(
                               static_cast<std::size_t>(entry.slot - *lowest) * array.stride));
      }
    }
    if (changed) executor_.copy_in(from, host.data(), host.size());
  }
  control_.activate(slots);
}

std::vector<SlotState> Ensemble::save(std::int64_t first, std::int64_t count) {
  std::vector<SlotState> states(static_cast<std::size_t>(count));
  if (count == 0) return states;
  for (const StateArray& array : state()) {
    std::vector<std::byte> host(static_cast<std::size_t>(count - 1) * array.stride + array.bytes);
    if (host.empty()) continue;
    executor_.copy_out(host.data(), array.data + static_cast<std::size_t>(first) * array.stride,
                       host.size());
    for (std::size_t i = 0; i < states.size(); ++i) {
      const auto from = host.begin() + static_cast<std::ptrdiff_t>(i * array.stride);
      const auto to = from + static_cast<std::ptrdiff_t>(array.bytes);
      states[i].arrays.push_back({array.name, {from, to}});
      if (array.name == "control/step") {
        std::memcpy(&states[i].step, states[i].arrays.back().bytes.data(), sizeof states[i].step);
      }
    }
  }
  return states;
}

void Ensemble::advance_only(const std::int32_t* slots, std::int64_t count, std::int64_t to) {
  kernels::advance_resident(executor_, {.program = resident_.get(),
                                        .count = count,
                                        .slots = slots,
                                        .until = to,
                                        .usage = usage_.data()});
}

void Ensemble::end_at(std::span<const std::int64_t> steps) {
  executor_.copy_in(const_cast<std::int64_t*>(control_.control().max_steps), steps.data(),
                    steps.size_bytes());
}

void Ensemble::advance(std::int64_t from, std::int64_t to) {
  if (resident_ != nullptr) return advance_only(nullptr, slots_, to);
  std::vector<Burst> bursts;
  std::int64_t t = from;
  while (t < to) {
    const std::int64_t past_check = t % check_every_;
    if (past_check == 0 && block_program_ && to - t >= check_every_) {
      const std::int64_t blocks = (to - t) / check_every_;
      bursts.push_back({block_program_.get(), blocks});
      t += blocks * check_every_;
    } else if (past_check == 0) {
      bursts.push_back({checked_program_.get(), 1});
      t += 1;
    } else {
      const std::int64_t steps = std::min(to - t, check_every_ - past_check);
      bursts.push_back({plain_program_.get(), steps});
      t += steps;
    }
  }
  executor_.run(bursts);
}

Ensemble::Look Ensemble::look(std::int64_t step, const std::vector<int>& cadences) {
  const int buffer = next_buffer_;
  next_buffer_ = 1 - next_buffer_;
  const auto b = static_cast<std::size_t>(buffer);
  // The device side of a sample has one buffer: the copy of the look before must be done with it.
  const std::size_t previous = 1 - b;
  if (staged_[previous]) executor_.hold_for(tickets_[previous]);
  for (const int c : cadences) {
    Samples& samples = samples_[static_cast<std::size_t>(c)];
    run(samples.programs);
    executor_.stage_out(samples.host[b].data(), samples.device.data(), samples.device.bytes());
  }
  // Steps that follow change the stepping state at once: the host gets a copy made on the device.
  executor_.copy_within(control_snapshots_[b].data(), control_.data(), control_.bytes());
  tickets_[b] = executor_.stage_out(control_copies_[b].data(), control_snapshots_[b].data(),
                                    control_.bytes());
  staged_[b] = true;
  return {step, cadences, buffer, tickets_[b]};
}

void Ensemble::await(const Look& look) { executor_.wait(look.ticket); }

ControlView Ensemble::control(const Look& look) const {
  return control_.view(control_copies_[static_cast<std::size_t>(look.buffer)].data());
}

const double* Ensemble::values(const Look& look, int cadence) const {
  return samples_[static_cast<std::size_t>(cadence)]
      .host[static_cast<std::size_t>(look.buffer)]
      .data();
}

std::span<const Ensemble::Place> Ensemble::places(int cadence) const {
  return samples_[static_cast<std::size_t>(cadence)].places;
}

std::int64_t Ensemble::width(int cadence) const {
  return samples_[static_cast<std::size_t>(cadence)].width;
}

std::vector<double> Ensemble::parameters(std::int64_t slot) {
  return std::visit(
      [&]<class T>(const Parameters<T>& typed) {
        std::vector<T> host(static_cast<std::size_t>(typed.values.count));
        executor_.copy_out(host.data(), typed.values.slot(slot), host.size() * sizeof(T));
        return std::vector<double>(host.begin(), host.end());
      },
      model_->parameters());
}

std::vector<double> Ensemble::watched() {
  if (watch_width_ == 0) return {};
  run(watch_programs_);
  return watch_state_.download();
}

}  // namespace manyfold
