/** The tables that PostgreSQL's regression tests expect, filled by rule instead of from data files. */
const WISCONSIN = `
	unique1 int4, unique2 int4, two int4, four int4, ten int4, twenty int4, hundred int4, thousand int4, twothousand int4,
	fivethous int4, tenthous int4, odd int4, even int4, stringu1 name, stringu2 name, string4 name`;

/** A permutation of 0..n-1 in place of the benchmark's random one; 7919 shares no factor with the sizes used. */
const wisconsin = (table: string, rows: number): string => `
create table ${table} (${WISCONSIN});
insert into ${table} select u, i, u % 2, u % 4, u % 10, u % 20, u % 100, u % 1000, u % 2000, u % 5000, u, u % 100 * 2, u % 100 * 2 + 1,
  chr(65 + u % 26) || chr(65 + u / 26 % 26) || 'AAAA', chr(65 + i % 26) || chr(65 + i / 26 % 26) || 'AAAA',
  (array['AAAAxx', 'HHHHxx', 'OOOOxx', 'VVVVxx'])[1 + i % 4]
  from (select i, (i * 7919) % ${rows} as u from generate_series(0, ${rows - 1}) i) rows;
vacuum analyze ${table};`;

export const PRELUDE = `
grant all on schema public to public;
set role app;
create table char_tbl (f1 char(4));
insert into char_tbl (f1) values ('a'), ('ab'), ('abcd'), ('abcd    ');
create table float8_tbl (f1 float8);
insert into float8_tbl (f1) values ('0.0'), ('-34.84'), ('-1004.30'), ('-1.2345678901234e+200'), ('-1.2345678901234e-200');
create table int2_tbl (f1 int2);
insert into int2_tbl (f1) values ('0   '), ('  1234 '), ('    -1234'), ('32767'), ('-32767');
create table int4_tbl (f1 int4);
insert into int4_tbl (f1) values ('   0  '), ('123456     '), ('    -123456'), ('2147483647'), ('-2147483647');
create table int8_tbl (q1 int8, q2 int8);
insert into int8_tbl values ('  123   ', '  456'), ('123   ', '4567890123456789'), ('4567890123456789', '123'),
  (+4567890123456789, '4567890123456789'), ('+4567890123456789', '-4567890123456789');
create table point_tbl (f1 point);
insert into point_tbl (f1) values ('(0.0,0.0)'), ('(-10.0,0.0)'), ('(-3.0,4.0)'), ('(5.1, 34.5)'), ('(-5.0,-12.0)'), ('10.0,10.0');
create table text_tbl (f1 text);
insert into text_tbl values ('doh!'), ('hi de ho neighbor');
create table varchar_tbl (f1 varchar(4));
insert into varchar_tbl (f1) values ('a'), ('ab'), ('abcd'), ('abcd    ');
create table person (name text, age int4, location point);
create table emp (salary int4, manager name) inherits (person);
insert into emp values ('sharon', 25, '(15,12)', 1000, 'sam'), ('sam', 30, '(10,5)', 2000, 'bill'), ('bill', 20, '(11,10)', 1000, 'sharon');
${wisconsin('onek', 1000)}
${wisconsin('tenk1', 10_000)}
create table onek2 as select * from onek;
create table tenk2 as select * from tenk1;
create index tenk1_unique1 on tenk1 (unique1);
create index tenk1_unique2 on tenk1 (unique2);
create index onek_unique1 on onek (unique1);
vacuum analyze;
`;
