-- What was done on each day, added up once the day is over (control-plane/rollups). A row counts only if `build` is the one that
-- `rolled_up_days` names for its day, and nothing of that day was written or deleted since: otherwise the commands themselves are read.
CREATE TABLE IF NOT EXISTS sallyport.use_by_day
(
    day Date,
    build UInt64,
    principal LowCardinality(String),
    principal_kind LowCardinality(String),
    delegation Array(LowCardinality(String)),
    resource LowCardinality(String),
    statement_kinds LowCardinality(String),
    session_ids AggregateFunction(uniqExact, String),
    asked UInt64,
    denied UInt64,
    refused UInt64,
    held UInt64,
    inferring UInt64,
    writing UInt64,
    row_sum UInt64,
    masked_sum UInt64,
    row_sizes Map(UInt8, UInt64),
    first_at DateTime64(6, 'UTC'),
    last_at DateTime64(6, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (day, build, principal, resource)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

CREATE TABLE IF NOT EXISTS sallyport.columns_by_day
(
    day Date,
    build UInt64,
    resource LowCardinality(String),
    column LowCardinality(String),
    principal LowCardinality(String),
    principal_kind LowCardinality(String),
    role LowCardinality(String),
    masked UInt8,
    times UInt64,
    row_sum UInt64,
    approved_by Array(LowCardinality(String)),
    first_at DateTime64(6, 'UTC'),
    last_at DateTime64(6, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (day, build, column, resource, principal)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

CREATE TABLE IF NOT EXISTS sallyport.classes_by_day
(
    day Date,
    build UInt64,
    class LowCardinality(String),
    principal LowCardinality(String),
    resource LowCardinality(String),
    times UInt64,
    masked_sum UInt64,
    first_at DateTime64(6, 'UTC'),
    last_at DateTime64(6, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (day, build, class, principal, resource)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

CREATE TABLE IF NOT EXISTS sallyport.findings_by_day
(
    day Date,
    build UInt64,
    resource LowCardinality(String),
    column LowCardinality(String),
    detector LowCardinality(String),
    principal LowCardinality(String),
    with_rows UInt8,
    times UInt64,
    alone_times UInt64,
    last_at DateTime64(6, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (day, build, resource, column, detector)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

-- Of a day that is over: something of it was written or deleted. One row each time, after it was done.
CREATE TABLE IF NOT EXISTS sallyport.changed_days
(
    day Date,
    id UUID DEFAULT generateUUIDv4(),
    changed_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY day
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- `changes` are those that were known before the day was read: with more, it is not as it was.
CREATE TABLE IF NOT EXISTS sallyport.rolled_up_days
(
    day Date,
    build UInt64,
    changes UInt64
)
ENGINE = ReplacingMergeTree(build)
ORDER BY day
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE OR REPLACE VIEW sallyport.unchanged_days AS
SELECT r.day AS day, r.build AS build
FROM (SELECT day, build, changes FROM sallyport.rolled_up_days FINAL) AS r
LEFT JOIN (SELECT day, count() AS n FROM sallyport.changed_days GROUP BY day) AS c ON c.day = r.day
WHERE r.changes = c.n;

-- On which days the records of a session lie: known also when they are gone.
ALTER TABLE sallyport.expired_sessions ADD COLUMN IF NOT EXISTS days Array(Date);
