-- Private halves of the keys to which agents seal keys of contents, and keys of contents, both sealed by the control plane. They are here
-- and nowhere else, since what is in the log cannot be destroyed; parts that a deletion has replaced leave the disk at once.
CREATE TABLE IF NOT EXISTS sallyport.content_sealing_keys
(
    id String,
    sealed String
)
ENGINE = ReplacingMergeTree
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 1;

-- Of sessions whose sealing key is to be destroyed.
CREATE TABLE IF NOT EXISTS sallyport.content_keys
(
    session_id String,
    sealed String
)
ENGINE = ReplacingMergeTree
ORDER BY session_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 1;

-- Sessions whose contents were shredded; their keys are not kept.
CREATE TABLE IF NOT EXISTS sallyport.shredded_sessions
(
    session_id String,
    shred_id String,
    listed_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY session_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
