/** Every protocol that the agent speaks. A new one is a folder and a line here. */
import { postgres } from '../postgres/protocol.ts';
import { ssh } from '../ssh/protocol.ts';
import type { Protocol } from './protocol.ts';

export const protocols: ReadonlyMap<string, Protocol> = new Map([postgres, ssh].map(protocol => [protocol.name, protocol]));
