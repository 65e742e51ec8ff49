/**
 * Loaded into every child (`node --import`): ends it when its supervisor is gone. The supervisor holds the other end of the
 * child's standard input; however it dies, the kernel closes that end, and the child stops as it would for SIGTERM.
 */
import { Socket } from 'node:net';
import { isMainThread } from 'node:worker_threads';

const GRACE_MS = 8_000;

if (isMainThread) {
  const input = new Socket({ fd: 0, readable: true, writable: false });
  let gone = false;
  const stop = () => {
    if (gone) return;
    gone = true;
    process.kill(process.pid, 'SIGTERM');
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), GRACE_MS).unref();
  };
  input.on('end', stop).on('close', stop).on('error', stop);
  input.resume();
  input.unref();
}
