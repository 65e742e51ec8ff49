/**
 * Writes builtin-functions.ts from pg_proc of real servers and the review below.
 *
 *   node shared/sql/flow/generate-builtins.ts postgresql://…15 postgresql://…16 …   (needs psql on the PATH)
 *
 * The review is by name: all overloads of a name in pg_catalog are in one class. A function that is IMMUTABLE or STABLE and
 * not named here only computes from its arguments and the catalogs, so labels go through it (`propagates`). A VOLATILE one
 * may be a channel to somewhere else, so it takes no protected value (`effects`), unless it is known to compute only. What
 * reads tables, files, logs or other sessions by a name or text that it is given is `refused` whatever its arguments.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

/** They run SQL, or read tables, files, write-ahead log or other sessions' statements. */
const REFUSED = [
  /^(query|table|schema|database|cursor)_to_xml/,
  /^(ts_stat|ts_rewrite|currtid2?|cursor_to_xml|fmgr_.*|plpgsql_.*)$/,
  /^pg_(read|ls|stat)_(binary_)?(file|dir|logdir|waldir|tmpdir|archive_statusdir|replslotdir|summariesdir|logicalmapdir|logicalsnapdir)/,
  /^pg_(ls|read)_/,
  /^pg_stat_file/,
  /^pg_logical_/,
  /^pg_(create|copy|drop)_(logical|physical)_replication_slot/,
  /^lo_(import|export)$/,
  /^pg_stat_get_(activity|backend_activity)$/,
  /^pg_(hba|ident)_file_/,
  /^pg_show_all_file_settings$/,
  /^binary_upgrade_/,
  /^pg_(restore|clear)_(attribute|relation)_stats$/,
  /^pg_(promote|reload_conf|rotate_logfile.*|switch_wal|backup_.*|start_backup|stop_backup|create_restore_point|export_snapshot|current_logfile)$/,
  /^pg_(wal_replay|replication|import_system|extension_config|nextoid|stop_making|isolation_test|sync_replication|log_standby)_?/,
  /^pg_(wal_summary|available_wal)_/,
  /(_handler|handler|_validator|_inline)$/,
  /^(RI_FKey_|suppress_redundant|tsvector_update_trigger|unique_key_recheck|amvalidate|dsnowball_|lo_manage)/,
];

/** VOLATILE only because the answer differs each time. */
const PROPAGATES_THOUGH_VOLATILE = [
  /^(clock_timestamp|timeofday|random|random_normal|gen_random_uuid|uuidv4|uuidv7|currval|lastval|current_query|array_sample|array_shuffle)$/,
  /^pg_(is_in_recovery|is_wal_replay_paused|get_wal_replay_pause_state|current_wal_.*|last_wal_.*|last_xact_.*|last_committed_xact)$/,
  /^pg_(relation|table|total_relation|indexes|database|tablespace)_size$/,
  /^pg_(blocking_pids|safe_snapshot_blocking_pids|partition_tree|partition_ancestors|sequence_last_value|get_sequence_data|jit_available)$/,
  /^pg_(collation|database_collation)_actual_version$/,
  /^(txid_status|pg_xact_status|pg_xact_commit_timestamp.*|pg_notification_queue_usage|pg_lock_status|pg_prepared_xact)$/,
  /^pg_stat_get_/,
  /^pg_stat_have_stats$/,
  /^pg_get_(backend_memory_contexts|shmem_.*|loaded_modules|wait_events|aios|wal_.*|multixact_members)$/,
  /^pg_control_/,
  /^pg_show_replication_origin_status$/,
  /^(system|bernoulli)$/,
];

const classes = { propagates: new Set<string>(), effects: new Set<string>(), refused: new Set<string>() };
const volatile = new Map<string, boolean>();
for (const uri of process.argv.slice(2)) {
  const sql = "select proname, bool_or(provolatile = 'v') from pg_proc where pronamespace = 'pg_catalog'::regnamespace group by 1";
  for (const line of execFileSync('psql', [uri, '-qAtc', sql], { encoding: 'utf8' }).trim().split('\n')) {
    const [name = '', is] = line.split('|');
    volatile.set(name, (volatile.get(name) ?? false) || is === 't');
  }
}
for (const [name, isVolatile] of [...volatile].sort(([a], [b]) => (a < b ? -1 : 1))) {
  if (REFUSED.some(pattern => pattern.test(name))) classes.refused.add(name);
  else if (!isVolatile || PROPAGATES_THOUGH_VOLATILE.some(pattern => pattern.test(name))) classes.propagates.add(name);
  else classes.effects.add(name);
}

const wrap = (names: Iterable<string>): string => {
  let text = '';
  let line = '';
  for (const name of names) {
    if (line.length + name.length > 130) {
      text += `${line}\n`;
      line = '';
    }
    line += line === '' ? name : ` ${name}`;
  }
  return text + line;
};
writeFileSync(
  new URL('builtin-functions.ts', import.meta.url),
  `/**
 * The reviewed functions of pg_catalog, by name, of PostgreSQL 15 to 18 (13 and 14 have a subset). Written by
 * generate-builtins.ts, which holds the review; do not edit. A name that is in no class is opaque.
 */

/** The result depends on the arguments and the catalogs only: labels of the arguments go to the result. */
const PROPAGATES = \`
${wrap(classes.propagates)}
\`;

/** It does something besides, which could carry a value away: it takes no protected value. */
const EFFECTS = \`
${wrap(classes.effects)}
\`;

/** It reads tables, files, logs or other sessions by what it is told, or belongs to the system: refused with any argument. */
const REFUSED = \`
${wrap(classes.refused)}
\`;

const names = (list: string): ReadonlySet<string> => new Set(list.trim().split(/\\s+/));

export const PROPAGATING_FUNCTIONS = names(PROPAGATES);
export const EFFECT_FUNCTIONS = names(EFFECTS);
export const REFUSED_FUNCTIONS = names(REFUSED);
`,
);
