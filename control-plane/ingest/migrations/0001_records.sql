-- Every record as it lies in the log. Kept by (session_id, seq): of two with the same, the one that came first into the log counts.
CREATE TABLE IF NOT EXISTS sallyport.record_rows
(
    session_id String CODEC(ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    type LowCardinality(String),
    command_seq Nullable(UInt64),
    agent_id LowCardinality(String),
    spool_id LowCardinality(String),
    spool_index UInt64 CODEC(Delta, ZSTD(1)),
    log_offset UInt64 CODEC(Delta, ZSTD(1)),
    log_index UInt32 CODEC(Delta, ZSTD(1)),
    previous_hash String CODEC(NONE),
    body String CODEC(ZSTD(3)),
    encoded String CODEC(ZSTD(3)),
    precedence UInt64 MATERIALIZED 18446744073709551615 - log_offset CODEC(Delta, ZSTD(1)),
    INDEX at_range at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(precedence)
PARTITION BY toYYYYMM(at)
ORDER BY (session_id, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

CREATE OR REPLACE VIEW sallyport.records AS
SELECT session_id, seq, at, type, command_seq, agent_id, spool_id, spool_index, log_offset, log_index, hex(previous_hash) AS previous_hash, body, encoded
FROM sallyport.record_rows FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- What of the log has arrived here. Written after the rows it speaks of were acknowledged.
CREATE TABLE IF NOT EXISTS sallyport.ingest_progress
(
    topic LowCardinality(String),
    next_offset UInt64,
    updated_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(next_offset)
ORDER BY topic
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

-- What could not be read, as it came. Nothing in the log is skipped without a row here.
CREATE TABLE IF NOT EXISTS sallyport.dead_letter_rows
(
    topic LowCardinality(String),
    log_offset UInt64,
    log_index UInt32,
    at DateTime64(6, 'UTC'),
    code LowCardinality(String),
    reason String,
    key String,
    value String
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, log_offset, log_index)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

CREATE OR REPLACE VIEW sallyport.dead_letters AS
SELECT topic, log_offset, log_index, at, code, reason, key, value
FROM sallyport.dead_letter_rows FINAL;
