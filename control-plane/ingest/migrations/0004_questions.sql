-- Who saw what, when, and who approved it: one row for each column that a command read and returned rows of.
CREATE OR REPLACE VIEW sallyport.who_saw AS
SELECT
    at, principal, principal_kind, groups, delegation, resource, arrayJoin(columns_read) AS column,
    has(data_classes, concat('column:', column)) AS masked,
    rows, approvers, approval_id, rule, role, agent, client_address, text, session_id, seq
FROM sallyport.command_rows FINAL
WHERE status IN ('ok', 'error', 'cancelled', 'aborted') AND rows > 0
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- Everything that was refused: logins, and commands.
CREATE OR REPLACE VIEW sallyport.refusals AS
SELECT at, 'command' AS what, principal, principal_kind, resource, agent, client_address, rule, reason, text, session_id, seq
FROM sallyport.command_rows FINAL
WHERE status = 'refused'
UNION ALL
SELECT started_at AS at, 'login' AS what, principal, principal_kind, resource, agent, client_address, code AS rule, reason, '' AS text, session_id, 0 AS seq
FROM sallyport.session_rows FINAL
WHERE status = 'refused';

-- Where the record of a session is not complete: what was declared lost.
CREATE OR REPLACE VIEW sallyport.gaps AS
SELECT
    session_id, seq, at, agent_id,
    JSONExtractUInt(body, 'fromSeq') AS from_seq, JSONExtractUInt(body, 'toSeq') AS to_seq, JSONExtractString(body, 'reason') AS reason
FROM sallyport.record_rows FINAL
WHERE type = 'gap'
SETTINGS do_not_merge_across_partitions_select_final = 1;
