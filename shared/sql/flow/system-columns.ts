/**
 * Columns of the system catalogs that hold values of users' tables, other sessions' statements, or secrets. They are
 * protected as if a policy named them: masked whole in results, and refused in predicates where they hold column values.
 */
const SECRETS: Readonly<Record<string, readonly string[]>> = {
  pg_statistic: ['stavalues1', 'stavalues2', 'stavalues3', 'stavalues4', 'stavalues5'],
  pg_statistic_ext_data: ['stxdmcv', 'stxdexpr'],
  pg_stats: ['most_common_vals', 'histogram_bounds', 'most_common_elems', 'range_length_histogram', 'range_bounds_histogram'],
  pg_stats_ext: ['most_common_vals'],
  pg_stats_ext_exprs: ['most_common_vals', 'histogram_bounds', 'most_common_elems', 'range_length_histogram', 'range_bounds_histogram'],
  pg_attribute: ['attmissingval'],
  pg_stat_activity: ['query'],
  pg_authid: ['rolpassword'],
  pg_shadow: ['passwd'],
  pg_user_mapping: ['umoptions'],
  pg_user_mappings: ['umoptions'],
  pg_subscription: ['subconninfo'],
  pg_stat_wal_receiver: ['conninfo'],
  pg_foreign_server: ['srvoptions'],
  pg_largeobject: ['data'],
};

const BY_COLUMN = new Set(Object.entries(SECRETS).flatMap(([table, columns]) => columns.map(column => `${table}\0${column}`)));

export function isSystemSecret(schema: string, table: string, column: string): boolean {
  return schema === 'pg_catalog' && BY_COLUMN.has(`${table}\0${column}`);
}

/** A label as it stands in FlowColumn.labels, of a system column rather than a policy's. */
export function isSystemLabel(label: string): boolean {
  return label.startsWith('pg_catalog.');
}
