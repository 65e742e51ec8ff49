import assert from 'node:assert/strict';
import { test } from 'node:test';
import { csv } from './saved-file.ts';

test('CSV quotes what needs it, and gives no spreadsheet a formula', () => {
  assert.equal(
    csv(
      ['who', 'text'],
      [
        ['a"b', 'x,y\nz'],
        ['=cmd|calc', '+1'],
        ['@SUM(A1)', '-2'],
        [null, -2],
      ],
    ),
    'who,text\r\n"a""b","x,y\nz"\r\n\'=cmd|calc,\'+1\r\n\'@SUM(A1),\'-2\r\n,-2\r\n',
  );
});
