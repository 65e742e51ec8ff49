/** Which of several addresses of one resource to connect to: the one that answers first from here. */
import { connect } from 'node:net';
import { hostForClients, splitAddress } from './resource-address.ts';

/** One that takes longer is as good as down. */
const answerMsMax = 3000;

/**
 * @param addresses host:port, in any order.
 * @returns the address whose connection opened first; the only one unasked; undefined when none answers, or there is none.
 */
export async function nearest(addresses: readonly string[]): Promise<string | undefined> {
  if (addresses.length <= 1) return addresses[0];
  try {
    return await Promise.any(addresses.map(opened));
  } catch {
    return undefined; // The client will say what is wrong with the address that it is given.
  }
}

function opened(address: string): Promise<string> {
  const { host, port } = splitAddress(address);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostForClients(host), port, timeout: answerMsMax });
    socket.once('connect', () => {
      socket.destroy();
      resolve(address);
    });
    socket.once('timeout', () => socket.destroy(new Error(`${address} does not answer`)));
    socket.once('error', reject);
  });
}
