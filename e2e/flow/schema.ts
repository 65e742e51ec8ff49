/** The database of the flow tests, its protected columns, and what random queries are made of. */
import { readFileSync } from 'node:fs';
import type { ColumnType, FuzzTable } from '@sallyport/shared/sql/fuzz/generate.ts';

export const PROTECTED = new Set([
  'public.customers.email',
  'public.customers.ssn',
  'public.events.actor',
  'public.employees.phone',
  'sales.accounts.secret',
]);

export const ROWS = `
insert into customers (id, name, email, ssn, notes, home)
  select i, 'name' || i, 'CANARY' || i || 'a@x', 'CANARY' || i, 'note' || i, ('(st' || i || ',city)')::address from generate_series(1, 5) i;
insert into orders select i, i, i * 2, 'contact' || i, array['t' || i] from generate_series(1, 4) i;
insert into plain select i, 'b' || i, '{"a":"v"}' from generate_series(1, 3) i;
insert into sales.accounts values (1, 'own', 'CANARYsec'), (2, 'o2', 'CANARYs2');
insert into sales.customers values (1, 'harmless@x');
insert into events values (1, '{}', 'CANARYactor'), (2, '{"a":2}', 'CANARYactor2');
insert into people values ('p', '555');
insert into employees values ('e', 'CANARYphone', 5);
refresh materialized view mv_emails;
analyze;
`;

const TYPES: Readonly<Record<string, ColumnType>> = { i: 'int', t: 'text', s: 'texts' };
const table = (name: string, columns: string): FuzzTable => ({
  name,
  columns: columns.split(' ').map(column => {
    const [short = '', type = ''] = column.split(':');
    return { name: short, type: TYPES[type] ?? 'text' };
  }),
});
export const SCHEMA = {
  tables: [
    table('customers', 'id:i name:t email:t ssn:t notes:t email_lower:t'),
    table('orders', 'id:i customer_id:i contact:t tags:s'),
    table('sales.accounts', 'id:i owner:t secret:t'),
    table('sales.customers', 'id:i email:t'),
    table('public.events', 'id:i actor:t'),
    table('events_1', 'id:i actor:t'),
    table('people', 'name:t phone:t'),
    table('employees', 'name:t phone:t salary:i'),
    table('v_emails', 'id:i e:t n:t'),
    table('v_nested', 'ee:t l:i'),
    table('v_all', 'id:i name:t email:t ssn:t'),
    table('mv_emails', 'id:i email:t'),
    table('v_union', 'x:t'),
    table('v_plain', 'a:i b:t'),
  ],
};

/** How many queries, and from which seed: `SALLYPORT_FLOW_QUERIES`, `SALLYPORT_FLOW_SEED`. */
export const QUERIES = Number(process.env.SALLYPORT_FLOW_QUERIES ?? 10_000);
export const SEED = Number(process.env.SALLYPORT_FLOW_SEED ?? 20_260_101);

/** Tables, views and functions, without rows. */
export function schemaSql(): string {
  return readFileSync(new URL('../../shared/sql/flow/fixtures/schema.sql', import.meta.url), 'utf8');
}
