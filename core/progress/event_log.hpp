// The structured log of a run, DIR/log.jsonl, for programs; and the same events as short lines on
// standard error, for people. One JSON object a line:
//
//   {"time":"2025-01-31T12:34:56.789Z","level":"info","event":"wave_started",
//    "message":"wave 1 of 3: 500 members","fields":{"members":500}}
//
// Times are UTC. Bytes that are no UTF-8 become U+FFFD. JSON has no NaN: doubles that are not
// finite are the strings "nan", "inf", "-inf".
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace manyfold {

using LogField = std::pair<std::string, std::variant<std::int64_t, double, std::string, bool>>;

/// Safe to use from several threads. Each event is one write(2), so lines stay whole.
class EventLog {
 public:
  /// `quiet` keeps everything but warnings and errors off standard error.
  explicit EventLog(bool quiet);
  ~EventLog();
  EventLog(EventLog&&) noexcept;
  EventLog& operator=(EventLog&&) noexcept;
  /// From here on events also go to `file` (appended). ResourceError when it cannot be written. A
  /// disk that fills up later costs the log, not the run: it is said once on standard error.
  void open(const std::filesystem::path& file);
  /// `event` is a fixed word for programs ("wave_started"), `message` a sentence for people.
  void info(std::string_view event, std::string_view message,
            const std::vector<LogField>& fields = {});
  void warn(std::string_view event, std::string_view message,
            const std::vector<LogField>& fields = {});
  void error(std::string_view event, std::string_view message,
             const std::vector<LogField>& fields = {});

 private:
  struct Sinks;
  std::unique_ptr<Sinks> sinks_;
};

/// The line that a program reads, without its newline. `time` as utc_time writes it.
std::string event_json(std::string_view time, std::string_view level, std::string_view event,
                       std::string_view message, const std::vector<LogField>& fields);

/// ISO 8601 with milliseconds: "2025-01-31T12:34:56.789Z".
std::string utc_time(std::chrono::system_clock::time_point time);

}  // namespace manyfold
