-- What terminals and programs on hosts showed, as text: one row a piece of output, which begins with the end of what was shown before, so
-- that words are found across pieces. A later revision knows more pieces before it. Sealed output is not here: nobody reads it here.
CREATE TABLE IF NOT EXISTS sallyport.output_rows
(
    session_id String CODEC(ZSTD(1)),
    command_seq UInt64 CODEC(Delta, ZSTD(1)),
    seq UInt64 CODEC(Delta, ZSTD(1)),
    at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    revision UInt64 CODEC(Delta, ZSTD(1)),
    text String CODEC(ZSTD(3)),
    INDEX at_range at TYPE minmax GRANULARITY 1,
    INDEX text_grams lowerUTF8(text) TYPE ngrambf_v1(3, 65536, 2, 0) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toYYYYMM(at)
ORDER BY (session_id, command_seq, seq)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_age_to_force_merge_seconds = 3600,
    min_age_to_force_merge_on_partition_only = 1;

CREATE OR REPLACE VIEW sallyport.output AS
SELECT session_id, command_seq, seq, at, text
FROM sallyport.output_rows FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
