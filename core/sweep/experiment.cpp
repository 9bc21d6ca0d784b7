// Ties file, factors and plan together: one member at a time, the base shared.
#include "core/sweep/experiment.hpp"

#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>

#include "core/error.hpp"
#include "core/sweep/plan.hpp"

namespace manyfold {
namespace {

constexpr std::size_t max_file_size = std::size_t{16} << 20;

std::string read_file(const std::filesystem::path& file) {
  const std::string name = file.string();
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    throw InputError(name + ": no such file, expected an experiment file");
  }
  if (status.type() == std::filesystem::file_type::directory) {
    throw InputError(name + ": found a directory, expected an experiment file");
  }
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    const int reason = errno != 0 ? errno : EIO;
    throw InputError(
        fmt::format("{}: cannot be read: {}", name, std::generic_category().message(reason)));
  }
  // A byte more than is allowed, so that an endless file ends too.
  std::string text(max_file_size + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) throw InputError(name + ": cannot be read to its end");
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > max_file_size) {
    throw InputError(name + ": found a file of more than 16 MiB, expected an experiment file");
  }
  return text;
}

}  // namespace

Experiment::Experiment(std::shared_ptr<const Plan> plan)
    : plan_(std::move(plan)), base_({plan_, &plan_->table}, &plan_->base_applies, {}) {}

Experiment Experiment::read(const std::filesystem::path& file,
                            const std::vector<std::string>& overrides, const Spec& spec) {
  const std::string text = read_file(file);
  std::error_code error;
  const auto absolute = std::filesystem::absolute(file, error);
  if (error) throw InputError(fmt::format("{}: {}", file.string(), error.message()));
  const auto folder = absolute.lexically_normal().parent_path();
  return Experiment(Plan::make(text, file.string(), folder, overrides, spec, {}));
}

Experiment Experiment::parse(std::string_view toml, std::string_view name_for_messages,
                             const std::vector<std::string>& overrides, const Spec& spec,
                             const std::vector<ExperimentOverlay>& overlays) {
  std::error_code error;
  const auto folder = std::filesystem::current_path(error);
  if (error) throw InputError(fmt::format("the current directory: {}", error.message()));
  return Experiment(
      Plan::make(toml, std::string(name_for_messages), folder, overrides, spec, overlays));
}

std::int64_t Experiment::members() const { return plan_->members; }

std::int64_t Experiment::product() const { return plan_->product; }

std::optional<Branch> Experiment::branch(std::int64_t member) const {
  const OffshootRow* row = plan_->offshoot_row(member);
  if (row == nullptr) return std::nullopt;
  const Offshoot& offshoot = plan_->offshoots[static_cast<std::size_t>(row->offshoot)];
  return Branch{member % plan_->product, row->step, offshoot.name, offshoot.place};
}

Settings Experiment::member(std::int64_t index) const {
  if (index < 0 || index >= plan_->members) {
    throw std::out_of_range(fmt::format("member {} of {}", index, plan_->members));
  }
  return plan_->settings_of({plan_, &plan_->table}, plan_->rows_of(index));
}

const std::vector<SweptKey>& Experiment::swept() const { return plan_->swept; }

const Settings& Experiment::base() const { return base_; }

const std::filesystem::path& Experiment::folder() const { return plan_->folder; }

std::string Experiment::resolved_toml() const { return plan_->resolved_toml(); }

std::string Experiment::member_toml(std::int64_t member, std::int64_t last_step,
                                    bool with_probes) const {
  return plan_->member_toml(member, last_step, with_probes);
}

std::string Experiment::identity(std::int64_t member) const { return plan_->identity(member); }

std::vector<std::pair<std::string, std::string>> Experiment::common_keys() const {
  std::vector<std::pair<std::string, std::string>> keys;
  for (const SettingsTable::Setting& setting : plan_->table.settings) {
    if (plan_->spec.find(setting.path)->sweepable || !base_.has(setting.path)) continue;
    keys.emplace_back(setting.path, to_toml(base_.value(setting.path)));
  }
  return keys;
}

}  // namespace manyfold
