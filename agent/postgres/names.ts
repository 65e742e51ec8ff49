/** Names of the gateway's own on the server, made anew by every agent: no client can have used them, or guess them. */
import { randomBytes } from 'node:crypto';

/** Never given to anything. What refers to it fails, and errors have the client's own name put in its place. */
export const NO_SUCH_NAME = `sallyport_${randomBytes(12).toString('hex')}`;
/** Statements and portals that ask for what the gateway must know; closed again in the same breath. */
export const PROBE_NAME = `sallyport_probe_${randomBytes(12).toString('hex')}`;
/** The same for statements that may fail, so that the server keeps them; what uses it closes what it finds under it first. */
export const TRIAL_NAME = `sallyport_trial_${randomBytes(12).toString('hex')}`;
