/** The control plane's figures in Prometheus' text format. Counts only: no names, so that they may be read without a token. */
import type { ApiContext } from './context.ts';

export async function metricsText({ control, records, fleet, relay, manifests, startedAtMs, version }: ApiContext): Promise<string> {
  const agents = control.state.agents();
  const lines: string[] = [];
  const metric = (name: string, type: 'gauge' | 'counter', help: string, samples: [labels: string, value: number | bigint][]) => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of samples) lines.push(`${name}${labels === '' ? '' : `{${labels}}`} ${value}`);
  };
  metric('sallyport_build_info', 'gauge', 'Version of this program.', [[`version="${version}"`, 1]]);
  metric('sallyport_control_plane_start_time_seconds', 'gauge', 'When the process started.', [['', startedAtMs / 1000]]);
  metric('sallyport_control_log_offset', 'counter', 'Offset of the next control event.', [['', control.position]]);
  // While the log is out of reach the other figures are wanted all the more.
  const recordsEnd = await records.endOffset().catch(() => null);
  if (recordsEnd !== null) metric('sallyport_records_log_offset', 'counter', 'Offset of the next entry of records.', [['', recordsEnd]]);
  metric('sallyport_agents', 'gauge', 'Agents by state.', [
    ['state="online"', fleet.connections().length],
    ['state="enrolled"', agents.filter(([, state]) => state.status === 'active').length],
    ['state="invited"', agents.filter(([, state]) => state.status === 'invited').length],
    ['state="revoked"', agents.filter(([, state]) => state.status === 'revoked').length],
  ]);
  metric('sallyport_live_sessions', 'gauge', 'Sessions that agents report as live.', [['', fleet.liveSessions().length]]);
  metric('sallyport_agent_spool_records', 'gauge', 'Records that connected agents have not delivered yet.', [
    ['', fleet.connections().reduce((sum, { health }) => sum + (health?.spoolRecords ?? 0n), 0n)],
  ]);
  metric('sallyport_leases_sent_total', 'counter', 'Leases sent to agents.', [['', fleet.counters.leasesSent]]);
  metric('sallyport_agent_connects_total', 'counter', 'Control streams opened by agents.', [['', fleet.counters.connects]]);
  metric('sallyport_session_kills_total', 'counter', 'Sessions that were ordered to end.', [['', fleet.counters.kills]]);
  metric('sallyport_relay_batches_total', 'counter', 'Batches of records received from agents.', [['', relay.counters.batches]]);
  metric('sallyport_relay_records_total', 'counter', 'Records appended to the log.', [['', relay.counters.records]]);
  metric('sallyport_relay_duplicate_records_total', 'counter', 'Records received again and dropped.', [['', relay.counters.duplicates]]);
  metric('sallyport_relay_missing_records_total', 'counter', 'Records that agents skipped.', [['', relay.counters.gaps]]);
  metric('sallyport_credential_source_problems', 'gauge', 'Credentials that could not be read at their source the last time.', [
    ['', manifests.sourceHealth.list().filter(({ problem }) => problem !== null).length],
  ]);
  metric('sallyport_pending_approvals', 'gauge', 'Commands that wait for somebody.', [['', control.state.pendingApprovals().length]]);
  const { rss, heapUsed } = process.memoryUsage();
  metric('process_resident_memory_bytes', 'gauge', 'Resident memory.', [['', rss]]);
  metric('nodejs_heap_size_used_bytes', 'gauge', 'Used heap.', [['', heapUsed]]);
  const { user, system } = process.cpuUsage();
  metric('process_cpu_seconds_total', 'counter', 'CPU time.', [['', (user + system) / 1e6]]);
  return `${lines.join('\n')}\n`;
}
