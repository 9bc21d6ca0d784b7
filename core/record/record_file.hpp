// DIR/record.nc: the result file, NetCDF-4, that `xarray.open_dataset` opens without help.
#pragma once

#include <cstdint>
#include <filesystem>

#include "core/record/sample_log.hpp"

namespace manyfold {

/// Converts a log, of a run that is over or was interrupted, to a record. The record appears under
/// its name only when it is whole: it is written beside it as `<record>.partial`, forced to the
/// disk and renamed. Damaged or missing bytes at the log's end are left out, and counted in the
/// attribute `ignored_log_bytes`.
///
/// In the root group, as the layout says:
/// - dimensions `member`, `sample` or `sample_<cadence>`, and the extents;
/// - index coordinates `member` (0, 1, ...) and one per extent (from Extent::first);
/// - coordinates `step(sample)`, `step_<cadence>(sample_<cadence>)`, the layout's, and
///   `status(member)`, `end_step(member)`, `end_reason(member)`. They are named in `coordinates`
///   attributes of the variables (CF) and of the file (xarray), so that xarray.open_dataset makes
///   coordinates of them;
/// - variables, each with `units`, `long_name` and, where there is one, `comment`. What was not
///   sampled is NaN. Integers have the smallest int64 as `_FillValue`: xarray shows them as
///   float64, NaN where they were not set, whether or not any is missing. (Layout coordinates,
///   `end_step` and `step` always have a value, no fill value, and stay integers.) Texts not set
///   are empty.
///
/// A group of the layout is a group of the file: its own `member` coordinate (the numbers of its
/// members) and extents, the root's sample dimensions with their steps again, and its variables.
/// xarray.open_dataset(record, group="family_0") opens it by itself.
///
/// A member without an end in the log is `pending` when nothing of it was sampled, else
/// `interrupted`, its `end_step` the last step sampled and its `end_reason` "no end in the log". An
/// `interrupted` end followed by later samples (a run gone on with, then killed) takes their step.
///
/// Memory: `slab_bytes` (or one value of one variable for one member and sample, a whole matrix
/// say, where that is larger), the log's largest block, about 1 MiB per variable for the file
/// library, and what the layout, the texts and the ends take. The log is read once in full, then
/// once more per `slab_bytes` of record, passing over what the slab does not need.
///
/// Throws InputError when the log is none or its layout is damaged, or the record cannot be put
/// there; ResourceError when the disk is full. An earlier record under that name is then untouched
/// and nothing is left beside it. For one thread at a time: the netCDF library is not thread-safe.
LogSummary write_record(const std::filesystem::path& log, const std::filesystem::path& record,
                        std::int64_t slab_bytes = std::int64_t{256} << 20);

}  // namespace manyfold
