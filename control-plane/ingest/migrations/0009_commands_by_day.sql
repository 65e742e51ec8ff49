-- The commands again, in the order of days: a stretch of time is read without the rest of its month, and within a day each principal's are
-- together. One row a command, as before: a later revision knows more of it (0 asked, 1 its session ended first, 2 answered), and `deleted`
-- takes back a row that was written before the session's start, and so its principal, was known. That is left out by the view: an engine
-- that did it would have to compare rows also where parts are merged.
CREATE TABLE IF NOT EXISTS sallyport.command_revisions
(
    session_id String CODEC(ZSTD(1)),
    seq UInt64 CODEC(ZSTD(1)),
    at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    revision UInt8,
    deleted UInt8,
    agent LowCardinality(String),
    resource LowCardinality(String),
    protocol LowCardinality(String),
    principal LowCardinality(String),
    principal_kind LowCardinality(String),
    groups Array(LowCardinality(String)) CODEC(ZSTD(1)),
    delegation Array(LowCardinality(String)) CODEC(ZSTD(1)),
    client_address String CODEC(ZSTD(1)),
    kind LowCardinality(String),
    text String CODEC(ZSTD(3)),
    fingerprint String CODEC(ZSTD(1)),
    objects Array(LowCardinality(String)) CODEC(ZSTD(1)),
    columns_read Array(LowCardinality(String)) CODEC(ZSTD(1)),
    decision LowCardinality(String),
    rule LowCardinality(String),
    reason String CODEC(ZSTD(1)),
    approval_id String CODEC(ZSTD(1)),
    approvers Array(LowCardinality(String)) CODEC(ZSTD(1)),
    status LowCardinality(String),
    rows UInt64 CODEC(ZSTD(1)),
    bytes UInt64 CODEC(ZSTD(1)),
    masked_values UInt64 CODEC(ZSTD(1)),
    data_classes Array(LowCardinality(String)) CODEC(ZSTD(1)),
    duration_us UInt64 CODEC(ZSTD(1)),
    response_head String CODEC(ZSTD(3)),
    response_sha256 String CODEC(ZSTD(1)),
    answered_at Nullable(DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)),
    role LowCardinality(String),
    issuer LowCardinality(String),
    database LowCardinality(String),
    statements Array(LowCardinality(String)) CODEC(ZSTD(1)),
    parameters Array(String) CODEC(ZSTD(3)),
    inferences Array(LowCardinality(String)) CODEC(ZSTD(1)),
    policy_version UInt64 CODEC(ZSTD(1)),
    prepared_name String CODEC(ZSTD(1)),
    text_truncated Bool,
    text_sha256 String CODEC(ZSTD(1)),
    tag LowCardinality(String),
    error_code LowCardinality(String),
    error_text String CODEC(ZSTD(1)),
    response_columns Array(LowCardinality(String)) CODEC(ZSTD(1)),
    response_head_truncated Bool,
    held_us UInt64 CODEC(ZSTD(1)),
    INDEX sessions session_id TYPE bloom_filter(0.001) GRANULARITY 4,
    INDEX at_range at TYPE minmax GRANULARITY 1,
    INDEX resources resource TYPE set(100) GRANULARITY 1,
    INDEX words text TYPE text(tokenizer = 'splitByNonAlpha') GRANULARITY 64,
    INDEX text_grams lowerUTF8(text) TYPE ngrambf_v1(3, 65536, 2, 0) GRANULARITY 4
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toYYYYMM(at)
ORDER BY (toDate(at), principal, at, session_id, seq)
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1, min_age_to_force_merge_seconds = 3600,
    min_age_to_force_merge_on_partition_only = 1;

-- What an ingester of the version before still writes arrives in both.
CREATE MATERIALIZED VIEW IF NOT EXISTS sallyport.command_rows_forwarded TO sallyport.command_revisions AS
SELECT * FROM sallyport.command_rows;

-- For each month that there is; a row that is copied twice is one row.
INSERT INTO sallyport.command_revisions SELECT * FROM sallyport.command_rows WHERE toYYYYMM(at) = {month:UInt32}
SETTINGS max_threads = 1, max_insert_threads = 1, max_block_size = 16384, min_insert_block_size_rows = 65536, min_insert_block_size_bytes = 67108864,
    max_execution_time = 0;

CREATE OR REPLACE VIEW sallyport.commands AS
SELECT
    session_id, seq, at, agent, resource, protocol, principal, principal_kind, groups, delegation, client_address, kind, text, fingerprint,
    objects, columns_read, decision, rule, reason, approval_id, approvers, status, rows, bytes, masked_values, data_classes, duration_us,
    response_head, response_sha256, answered_at, role, issuer, database, statements, parameters, inferences, policy_version, prepared_name,
    text_truncated, text_sha256, tag, error_code, error_text, response_columns, response_head_truncated, held_us
FROM sallyport.command_revisions FINAL
WHERE NOT deleted
-- All rows of one command have the same time, so they are in one partition.
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW sallyport.who_saw AS
SELECT
    at, principal, principal_kind, groups, delegation, resource, arrayJoin(columns_read) AS column,
    has(data_classes, concat('column:', column)) AS masked,
    rows, approvers, approval_id, rule, role, agent, client_address, text, session_id, seq
FROM sallyport.command_revisions FINAL
WHERE NOT deleted AND status IN ('ok', 'error', 'cancelled', 'aborted') AND rows > 0
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW sallyport.refusals AS
SELECT at, 'command' AS what, principal, principal_kind, resource, agent, client_address, rule, reason, text, session_id, seq
FROM sallyport.command_revisions FINAL
WHERE NOT deleted AND status = 'refused'
UNION ALL
SELECT started_at AS at, 'login' AS what, principal, principal_kind, resource, agent, client_address, code AS rule, reason, '' AS text, session_id, 0 AS seq
FROM sallyport.session_rows FINAL
WHERE status = 'refused'
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- The views read the new table by now, and it has everything.
TRUNCATE TABLE IF EXISTS sallyport.command_rows;
