import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadMigrations, migrate, parseMigration } from './migrate.ts';
import type { SessionStore } from './session-store.ts';

/** A store that remembers what it was told to do; `failAt` dies at that command. */
function recordingStore(applied: Map<string, string>, failAt = Number.POSITIVE_INFINITY): SessionStore & { ran: string[] } {
  const ran: string[] = [];
  return {
    ran,
    async command(sql, parameters) {
      if (ran.length === failAt) throw new Error('killed');
      ran.push(sql.trim().split('\n', 1)[0] ?? '');
      if (parameters !== undefined)
        applied.set(`${String(parameters['version'])}/${String(parameters['statement'])}`, String(parameters['checksum']));
    },
    async rows<Row>() {
      return [...applied].map(([key, checksum]) => {
        const [version, statement] = key.split('/').map(Number);
        return { version, statement, checksum } as Row;
      });
    },
    insert: async () => undefined,
    close: async () => undefined,
  };
}

const two = [parseMigration('0001_a.sql', 'CREATE TABLE a;\nCREATE TABLE b;\n'), parseMigration('0002_c.sql', 'CREATE TABLE c\n  (x);')];

describe('parseMigration', () => {
  it('splits at semicolons that end a line, and leaves comments out', () => {
    const { version, statements } = parseMigration('0007_x.sql', "-- about; it\nSELECT ';' AS a,\n  -- more\n  1;\n\nSELECT 2;\n");
    assert.equal(version, 7);
    assert.deepEqual(statements, ["SELECT ';' AS a,\n\n  1", 'SELECT 2']);
    assert.throws(() => parseMigration('first.sql', ''), { code: 'MIGRATION_NAME_INVALID' });
  });

  it('finds those that are shipped, all of which can run twice', async () => {
    const migrations = await loadMigrations();
    assert.deepEqual(
      migrations.map(({ version }) => version),
      migrations.map((_, index) => index + 1),
    );
    for (const statement of migrations.flatMap(({ statements }) => statements)) {
      assert.match(
        statement,
        /IF NOT EXISTS|IF EXISTS|OR REPLACE|MATERIALIZE INDEX|MODIFY COLUMN|^INSERT INTO sallyport.command_revisions SELECT/,
        statement.slice(0, 60),
      );
    }
  });
});

describe('migrate', () => {
  it('runs each statement once', async () => {
    const applied = new Map<string, string>();
    assert.equal(await migrate(recordingStore(applied), two), 3);
    assert.equal(await migrate(recordingStore(applied), two), 0);
  });

  it('goes on where it was killed', async () => {
    for (let failAt = 0; failAt < 8; failAt += 1) {
      const applied = new Map<string, string>();
      await assert.rejects(migrate(recordingStore(applied, failAt), two));
      const done = applied.size;
      assert.equal(await migrate(recordingStore(applied), two), 3 - done);
    }
  });

  it('refuses a file that was changed after it was applied', async () => {
    const applied = new Map<string, string>();
    await migrate(recordingStore(applied), two);
    const changed = [parseMigration('0001_a.sql', 'CREATE TABLE a (other);\nCREATE TABLE b;\n')];
    await assert.rejects(migrate(recordingStore(applied), changed), { code: 'MIGRATION_CHANGED' });
  });
});
