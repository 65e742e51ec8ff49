/** Who may be inside at the same time, in which order, and what is left when somebody goes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Leave, PathLock } from './path-lock.ts';

function scene() {
  const lock = new PathLock();
  const inside = new Map<string, Leave>();
  const enter = (name: string, exclusive: boolean, owner: object = lock) =>
    lock.enter(owner, exclusive, leave =>
      inside.set(name, () => {
        inside.delete(name);
        leave();
      }),
    );
  return { lock, inside, enter, names: () => [...inside.keys()].toSorted() };
}

test('those that use paths overlap; one that changes them is alone, and is not passed by', () => {
  const { inside, enter, names } = scene();
  enter('stat', false);
  enter('open', false);
  enter('rename', true);
  enter('later', false);
  assert.deepEqual(names(), ['open', 'stat']);
  inside.get('stat')?.();
  assert.deepEqual(names(), ['open']);
  inside.get('open')?.();
  assert.deepEqual(names(), ['rename']);
  enter('last', false);
  inside.get('rename')?.();
  assert.deepEqual(names(), ['last', 'later']);
});

test('a channel that ends lets everybody else go on, and leaves once', () => {
  const { lock, inside, enter, names } = scene();
  const gone = {};
  enter('rename', true, gone);
  enter('its own', false, gone);
  enter('another', true);
  enter('third', true);
  lock.abandon(gone);
  assert.ok(names().includes('another') && !names().includes('its own'));
  inside.get('rename')?.();
  assert.ok(!names().includes('third'));
  inside.get('another')?.();
  assert.deepEqual(names(), ['third']);
});
