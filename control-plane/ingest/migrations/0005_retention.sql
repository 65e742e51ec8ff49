-- Sessions that were deleted because their retention was over; with deleted_at, their rows are gone.
CREATE TABLE IF NOT EXISTS sallyport.expired_sessions
(
    session_id String,
    resource LowCardinality(String),
    listed_at DateTime64(3, 'UTC') DEFAULT now64(3),
    deleted_at Nullable(DateTime('UTC'))
)
ENGINE = MergeTree
ORDER BY session_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
