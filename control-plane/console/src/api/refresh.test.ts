/** What changes while it is asked for first is asked again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QueryClient, QueryObserver } from '@tanstack/react-query';
import { refresh } from './refresh.ts';

function watched(client: QueryClient, answers: PromiseWithResolvers<string>[]) {
  let asked = 0;
  const observer = new QueryObserver(client, {
    queryKey: ['approvals', 'pending'],
    queryFn: () => answers[asked++]?.promise ?? Promise.reject(new Error('asked too often')),
    retry: false,
  });
  const stop = observer.subscribe(() => {});
  return { observer, stop, asked: () => asked };
}

test('a change during the first fetch is not covered by its answer', async () => {
  const client = new QueryClient();
  const answers = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
  const { observer, stop, asked } = watched(client, answers);
  const refreshed = refresh(client, ['approvals']);
  answers[0]?.resolve('nothing waits');
  answers[1]?.resolve('one waits');
  await refreshed;
  assert.equal(observer.getCurrentResult().data, 'one waits');
  assert.equal(asked(), 2);
  stop();
  client.clear();
});

test('a change later is asked for once', async () => {
  const client = new QueryClient();
  const answers = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
  const { observer, stop, asked } = watched(client, answers);
  answers[0]?.resolve('nothing waits');
  await answers[0]?.promise;
  while (observer.getCurrentResult().data === undefined) await new Promise(setImmediate);
  answers[1]?.resolve('one waits');
  await refresh(client, ['approvals']);
  assert.equal(observer.getCurrentResult().data, 'one waits');
  assert.equal(asked(), 2);
  stop();
  client.clear();
});
