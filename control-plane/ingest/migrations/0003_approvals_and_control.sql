-- What was said about an approval, by the agent that waits and by the control plane that decides.
CREATE TABLE IF NOT EXISTS sallyport.approval_event_rows
(
    approval_id String,
    source LowCardinality(String),
    log_offset UInt64,
    log_index UInt32,
    at DateTime64(6, 'UTC'),
    state LowCardinality(String),
    by Array(String),
    reason String,
    session_id String,
    command_seq Nullable(UInt64),
    resource LowCardinality(String),
    principal LowCardinality(String),
    rule LowCardinality(String),
    text String,
    expires_at Nullable(DateTime64(6, 'UTC'))
)
ENGINE = ReplacingMergeTree
ORDER BY (approval_id, source, log_offset, log_index)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE OR REPLACE VIEW sallyport.approvals AS
SELECT
    approval_id,
    -- The control plane decides; what an agent noted stands only where nothing else is known.
    argMax(e.state, (e.state NOT IN ('requested', 'given'), e.source = 'control', e.at, e.log_offset, e.log_index)) AS state,
    min(e.at) AS requested_at,
    maxOrNullIf(e.at, e.state NOT IN ('requested', 'given')) AS decided_at,
    any(e.expires_at) AS expires_at,
    arrayDistinct(arrayFlatten(groupArrayIf(e.by, e.state IN ('given', 'approved')))) AS approvers,
    arrayDistinct(arrayFlatten(groupArrayIf(e.by, e.state = 'denied'))) AS deniers,
    argMaxIf(e.reason, (e.at, e.log_offset, e.log_index), e.reason != '') AS reason,
    anyIf(e.session_id, e.session_id != '') AS session_id,
    any(e.command_seq) AS command_seq,
    anyIf(e.resource, e.resource != '') AS resource,
    anyIf(e.principal, e.principal != '') AS principal,
    anyIf(e.rule, e.rule != '') AS rule,
    anyIf(e.text, e.text != '') AS text
FROM (SELECT * FROM sallyport.approval_event_rows FINAL) AS e
GROUP BY approval_id;

-- The control plane's events in log order. `accepted` says whether the event counts: its stream was at the version it expected.
CREATE TABLE IF NOT EXISTS sallyport.control_event_rows
(
    log_offset UInt64 CODEC(Delta, ZSTD(1)),
    at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    event_id String,
    stream String,
    kind LowCardinality(String),
    name String,
    type LowCardinality(String),
    expected_version UInt64,
    accepted Bool,
    schema UInt32,
    author String,
    author_address String,
    reason String,
    request_id String,
    payload String CODEC(ZSTD(3)),
    INDEX streams stream TYPE bloom_filter GRANULARITY 1,
    INDEX ids event_id TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree
ORDER BY log_offset
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE OR REPLACE VIEW sallyport.control_events AS
SELECT log_offset, at, event_id, stream, kind, name, type, expected_version, accepted, schema, author, author_address, reason, request_id, payload
FROM sallyport.control_event_rows FINAL;
