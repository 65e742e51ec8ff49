-- One row a session. A later revision knows more of it: 1 its start, 2 its end, 3 both.
CREATE TABLE IF NOT EXISTS sallyport.session_rows
(
    session_id String CODEC(ZSTD(1)),
    revision UInt8,
    status LowCardinality(String),
    started_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    ended_at Nullable(DateTime64(6, 'UTC')),
    agent LowCardinality(String),
    resource LowCardinality(String),
    protocol LowCardinality(String),
    principal LowCardinality(String),
    principal_kind LowCardinality(String),
    issuer LowCardinality(String),
    subject String,
    groups Array(String),
    delegation Array(String),
    client_address String,
    client Map(String, String),
    role LowCardinality(String),
    policy_version UInt64,
    token_id String,
    durability LowCardinality(String),
    code LowCardinality(String),
    reason String,
    told LowCardinality(String),
    error_code LowCardinality(String),
    commands UInt64,
    bytes_to_client UInt64,
    bytes_to_upstream UInt64,
    INDEX started_range started_at TYPE minmax GRANULARITY 1,
    INDEX principals principal TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY session_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

CREATE OR REPLACE VIEW sallyport.sessions AS
SELECT
    session_id, status, started_at, ended_at, agent, resource, protocol, principal, principal_kind, issuer, subject, groups, delegation,
    client_address, client, role, policy_version, token_id, durability, code, reason, told, error_code, commands, bytes_to_client,
    bytes_to_upstream
FROM sallyport.session_rows FINAL;

-- One row a command. A later revision knows more of it: 0 that it was asked, 1 that its session ended first, 2 its response.
-- `deleted` takes back a row that was written before the session's start, and so its principal, was known.
CREATE TABLE IF NOT EXISTS sallyport.command_rows
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
    groups Array(String) CODEC(ZSTD(1)),
    delegation Array(String) CODEC(ZSTD(1)),
    client_address String CODEC(ZSTD(1)),
    kind LowCardinality(String),
    text String CODEC(ZSTD(3)),
    fingerprint String CODEC(ZSTD(1)),
    objects Array(String) CODEC(ZSTD(1)),
    columns_read Array(String) CODEC(ZSTD(1)),
    decision LowCardinality(String),
    rule LowCardinality(String),
    reason String CODEC(ZSTD(1)),
    approval_id String CODEC(ZSTD(1)),
    approvers Array(String) CODEC(ZSTD(1)),
    status LowCardinality(String),
    rows UInt64,
    bytes UInt64,
    masked_values UInt64,
    data_classes Array(String) CODEC(ZSTD(1)),
    duration_us UInt64,
    response_head String CODEC(ZSTD(3)),
    response_sha256 String CODEC(ZSTD(1)),
    answered_at Nullable(DateTime64(6, 'UTC')),
    role LowCardinality(String),
    issuer LowCardinality(String),
    database LowCardinality(String),
    statements Array(String) CODEC(ZSTD(1)),
    parameters Array(String) CODEC(ZSTD(3)),
    inferences Array(String) CODEC(ZSTD(1)),
    policy_version UInt64,
    prepared_name String CODEC(ZSTD(1)),
    text_truncated Bool,
    text_sha256 String CODEC(ZSTD(1)),
    tag LowCardinality(String),
    error_code LowCardinality(String),
    error_text String CODEC(ZSTD(1)),
    response_columns Array(String) CODEC(ZSTD(1)),
    response_head_truncated Bool,
    held_us UInt64,
    INDEX sessions session_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX at_range at TYPE minmax GRANULARITY 1,
    INDEX resources resource TYPE set(100) GRANULARITY 1,
    INDEX words text TYPE text(tokenizer = 'splitByNonAlpha') GRANULARITY 64
)
ENGINE = ReplacingMergeTree(revision, deleted)
PARTITION BY toYYYYMM(at)
ORDER BY (principal, at, session_id, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

CREATE OR REPLACE VIEW sallyport.commands AS
SELECT
    session_id, seq, at, agent, resource, protocol, principal, principal_kind, groups, delegation, client_address, kind, text, fingerprint,
    objects, columns_read, decision, rule, reason, approval_id, approvers, status, rows, bytes, masked_values, data_classes, duration_us,
    response_head, response_sha256, answered_at, role, issuer, database, statements, parameters, inferences, policy_version, prepared_name,
    text_truncated, text_sha256, tag, error_code, error_text, response_columns, response_head_truncated, held_us
FROM sallyport.command_rows FINAL
-- All rows of one command have the same time, so they are in one partition.
SETTINGS do_not_merge_across_partitions_select_final = 1;
