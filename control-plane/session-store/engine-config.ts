/**
 * The configuration of the ClickHouse engine, as text: who may do what, how much of the machine it may take, where it listens.
 *
 * Three users. The writer (ingest and its owner) may do anything with tables, but has no right to reach outside the database: no
 * files, URLs, executables or other servers, by table function or by table engine. The reader may select from what is listed here.
 * `default` is how the engine calls the session that starts it; the gate (gate.ts) lets it in once, and its profile could do nothing
 * even so. What is not here: writing the files and running the engine (engine.ts).
 */
import { createHash } from 'node:crypto';
import { GatewayError } from '@sallyport/shared/errors.ts';

export interface StoreUser {
  name: string;
  password: string;
}

export interface EngineConfig {
  /** The engine's own folder. */
  dataDir: string;
  usersPath: string;
  logPath: string;
  /** Where a port that the engine chose itself is written to. */
  portPath: string;
  host: string;
  /** 0: the engine chooses. */
  port: number;
  /** The gate's port on 127.0.0.1. */
  gatePort: number;
  writer: StoreUser;
  reader?: StoreUser | undefined;
  /** The engine refuses queries (code 241) rather than take more. */
  memoryBytesMax: number;
  /** Threads of one query. */
  threadsMax: number;
}

/** What people and tools may read of the system database: names of things, no queries, users or settings of others. */
const readableSystemTables = [
  'build_options',
  'columns',
  'contributors',
  'data_skipping_indices',
  'data_type_families',
  'databases',
  'events',
  'formats',
  'functions',
  'metrics',
  'numbers',
  'one',
  'parts',
  'settings',
  'table_functions',
  'tables',
  'time_zones',
];

/** Engines that hold data in this database and nowhere else. */
const ownTableEngines = [
  'Atomic',
  'MergeTree',
  'ReplacingMergeTree',
  'SummingMergeTree',
  'AggregatingMergeTree',
  'CollapsingMergeTree',
  'VersionedCollapsingMergeTree',
  'CoalescingMergeTree',
  'GraphiteMergeTree',
  'Memory',
  'Null',
  'Log',
  'TinyLog',
  'StripeLog',
  'Set',
  'Join',
  'Buffer',
  'View',
  'MaterializedView',
];

const writerGrants = [
  'GRANT SHOW, SELECT, INSERT, ALTER, TRUNCATE, OPTIMIZE, KILL QUERY, dictGet ON *.*',
  'GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE TEMPORARY TABLE ON *.*',
  'GRANT DROP DATABASE, DROP TABLE, DROP VIEW, UNDROP TABLE ON *.*',
  'GRANT SYSTEM MERGES, SYSTEM FLUSH LOGS, SYSTEM DROP CACHE ON *.*',
  ...ownTableEngines.map(engine => `GRANT TABLE ENGINE ON ${engine}`),
];

const readerGrants = [
  'GRANT SHOW TABLES, SHOW COLUMNS, SHOW DATABASES, SELECT ON sallyport.*',
  'GRANT SHOW TABLES, SHOW COLUMNS, SELECT ON information_schema.*',
  'GRANT SHOW TABLES, SHOW COLUMNS, SELECT ON INFORMATION_SCHEMA.*',
  ...readableSystemTables.map(table => `GRANT SELECT ON system.${table}`),
];

/** What the engine's own session needs to create the databases, to listen, and to sit there. */
const starterGrants = [
  'GRANT CREATE DATABASE ON *.*',
  'GRANT TABLE ENGINE ON Atomic',
  'GRANT SYSTEM LISTEN ON *.*',
  'GRANT SELECT ON system.numbers',
];

/** Sizes that keep an idle engine small; each is a bound, nothing is reserved. */
const serverSettings: Readonly<Record<string, number>> = {
  max_thread_pool_size: 200,
  max_thread_pool_free_size: 4,
  max_io_thread_pool_size: 8,
  max_io_thread_pool_free_size: 0,
  max_active_parts_loading_thread_pool_size: 2,
  max_outdated_parts_loading_thread_pool_size: 1,
  max_unexpected_parts_loading_thread_pool_size: 1,
  max_parts_cleaning_thread_pool_size: 1,
  max_prefixes_deserialization_thread_pool_size: 2,
  max_format_parsing_thread_pool_size: 2,
  background_pool_size: 2,
  background_merges_mutations_concurrency_ratio: 1,
  background_move_pool_size: 1,
  background_fetches_pool_size: 1,
  background_common_pool_size: 1,
  background_buffer_flush_schedule_pool_size: 1,
  background_schedule_pool_size: 2,
  background_message_broker_schedule_pool_size: 1,
  background_distributed_schedule_pool_size: 1,
  mark_cache_size: 64 * 1024 * 1024,
  uncompressed_cache_size: 0,
  index_mark_cache_size: 16 * 1024 * 1024,
  mmap_cache_size: 64,
  compiled_expression_cache_size: 16 * 1024 * 1024,
  max_connections: 256,
  keep_alive_timeout: 30,
  listen_backlog: 256,
  max_open_files: 4096,
};

/**
 * The server's part.
 * @returns XML for `--config-file`.
 */
export function serverXml(config: EngineConfig): string {
  const settings = Object.entries({ ...serverSettings, max_server_memory_usage: config.memoryBytesMax });
  return [
    '<clickhouse>',
    element('users_config', config.usersPath),
    // No default database of the engine's own making: that one would show the file system as tables.
    '<default_database></default_database>',
    '<database>system</database>',
    element('display_name', 'sallyport'),
    element('listen_host', config.host),
    element('http_port', String(config.port)),
    ...settings.map(([name, value]) => element(name, String(value))),
    // Merges are small and never in a hurry. A write that was acknowledged is on the disk: the cursor of ingest relies on it.
    '<merge_tree>',
    '<fsync_after_insert>1</fsync_after_insert><fsync_part_directory>1</fsync_part_directory>',
    '<number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>',
    '<number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>',
    '<number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>',
    '</merge_tree>',
    '<log-level>warning</log-level>',
    `<logger><level>warning</level>${element('log', config.logPath)}<size>10M</size><count>2</count></logger>`,
    '<http_authentication_servers><gate>',
    element('uri', `http://127.0.0.1:${config.gatePort}/`),
    '<connection_timeout_ms>2000</connection_timeout_ms><receive_timeout_ms>2000</receive_timeout_ms>',
    '<send_timeout_ms>2000</send_timeout_ms><max_tries>1</max_tries>',
    '</gate></http_authentication_servers>',
    '</clickhouse>',
    '',
  ].join('\n');
}

/**
 * The users' part. Passwords are in it as SHA-256.
 * @throws {GatewayError} STORE_USER_INVALID.
 */
export function usersXml(config: EngineConfig): string {
  const { writer, reader } = config;
  if (reader?.name === writer.name) {
    throw new GatewayError('STORE_USER_INVALID', 'invalid', 'The read-only user needs a name of its own, not the same as the store user.');
  }
  const memoryPerQuery = Math.floor(config.memoryBytesMax * 0.6);
  const bounds = [
    element('max_threads', String(config.threadsMax)),
    element('max_insert_threads', '1'),
    element('max_memory_usage', String(memoryPerQuery)),
    element('max_bytes_before_external_group_by', String(Math.floor(memoryPerQuery / 2))),
    element('max_bytes_before_external_sort', String(Math.floor(memoryPerQuery / 2))),
    '<join_algorithm>direct,parallel_hash,hash,grace_hash</join_algorithm>',
    '<cancel_http_readonly_queries_on_client_close>1</cancel_http_readonly_queries_on_client_close>',
  ].join('');
  return [
    '<clickhouse><profiles>',
    '<default></default>',
    // Should anyone get past the gate: no statement fits into one byte, and readonly keeps that from being changed.
    '<starter><readonly>1</readonly><max_query_size>1</max_query_size></starter>',
    `<writer>${bounds}<max_execution_time>600</max_execution_time></writer>`,
    `<reader>${bounds}<readonly>2</readonly><max_execution_time>60</max_execution_time>`,
    '<max_concurrent_queries_for_user>32</max_concurrent_queries_for_user>',
    '<constraints>',
    '<max_execution_time><min>1</min><max>600</max></max_execution_time>',
    `<max_memory_usage><min>1</min><max>${memoryPerQuery}</max></max_memory_usage>`,
    '<max_threads><min>1</min><max>16</max></max_threads>',
    '<max_concurrent_queries_for_user><const/></max_concurrent_queries_for_user>',
    '</constraints></reader>',
    '</profiles>',
    '<quotas><default></default></quotas>',
    '<users>',
    user('default', '<http_authentication><server>gate</server><scheme>basic</scheme></http_authentication>', {
      network: '127.0.0.1',
      profile: 'starter',
      grants: starterGrants,
    }),
    user(checkedName(writer.name), sha256(writer), { network: '::/0', profile: 'writer', database: 'default', grants: writerGrants }),
    ...(reader === undefined
      ? []
      : [
          user(checkedName(reader.name), sha256(reader), {
            network: '::/0',
            profile: 'reader',
            database: 'sallyport',
            grants: readerGrants,
          }),
        ]),
    '</users></clickhouse>',
    '',
  ].join('\n');
}

/**
 * The engine's command line. Its own session has more rights by these settings than its profile gives: settings of the command line
 * hold for that session alone.
 */
export function engineArguments(config: EngineConfig, configPath: string, startPath: string): string[] {
  return [
    'clickhouse',
    `--config-file=${configPath}`,
    `--path=${config.dataDir}`,
    '--readonly=0',
    '--max_query_size=100000',
    `--queries-file=${startPath}`,
  ];
}

/** What the engine's session runs. The last statement never ends: the engine lives as long as it does. */
export function startSql(config: EngineConfig): string {
  return [
    'CREATE DATABASE IF NOT EXISTS default ENGINE = Atomic;',
    'CREATE DATABASE IF NOT EXISTS sallyport ENGINE = Atomic;',
    'SYSTEM START LISTEN HTTP;',
    `SELECT getServerPort('http_port') INTO OUTFILE '${config.portPath.replaceAll(/['\\]/g, '\\$&')}' FORMAT TSV;`,
    'SELECT sleepEachRow(3) FROM system.numbers',
    '  SETTINGS max_block_size = 1, max_threads = 1, max_execution_time = 0, function_sleep_max_microseconds_per_block = 0 FORMAT Null;',
    '',
  ].join('\n');
}

interface UserSettings {
  network: string;
  profile: string;
  database?: string;
  grants: readonly string[];
}

function user(name: string, authentication: string, settings: UserSettings): string {
  return [
    `<${name}>${authentication}`,
    `<networks><ip>${settings.network}</ip></networks><profile>${settings.profile}</profile><quota>default</quota>`,
    settings.database === undefined ? '' : element('default_database', settings.database),
    `<grants>${settings.grants.map(grant => element('query', grant)).join('')}</grants>`,
    `</${name}>`,
  ].join('');
}

function sha256(user: StoreUser): string {
  return element('password_sha256_hex', createHash('sha256').update(user.password).digest('hex'));
}

/** A user's name is an element's name in that file. */
function checkedName(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_-]{0,63}$/.test(name) && name !== 'default') return name;
  throw new GatewayError(
    'STORE_USER_INVALID',
    'invalid',
    `"${name}" cannot be the name of a user of the session store: use letters, digits, _ and -, at most 64, and not "default".`,
  );
}

function element(name: string, text: string): string {
  return `<${name}>${text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')}</${name}>`;
}
