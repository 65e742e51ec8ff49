/** The channels that Channel manifests name, made and unmade as the manifests change; each runs on its own. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { errorText } from '@sallyport/shared/errors.ts';
import type { Manifest } from '@sallyport/shared/policy/model.ts';
import type { Logger } from 'pino';
import type { ControlLog } from '../aggregates/control-log.ts';
import { shown } from '../http/routes/approvals.ts';
import { secretContext } from '../leases/secret-context.ts';
import type { ControlPlaneKeys } from '../pki/keys.ts';
import { WebhookChannel } from './webhook-channel.ts';

export interface ChannelsOptions {
  control: ControlLog;
  keys: ControlPlaneKeys;
  dataDir: string;
  logger: Logger;
  clock: () => number;
}

export class Channels {
  readonly #options: ChannelsOptions;
  readonly #running = new Map<string, { of: string; channel: WebhookChannel }>();
  readonly #unsubscribe: () => void;

  constructor(options: ChannelsOptions) {
    this.#options = options;
    this.#unsubscribe = options.control.onAccepted(events => {
      if (events.some(({ stream }) => stream.startsWith('channel/'))) this.#arrange();
      if (events.some(({ stream }) => stream.startsWith('approval/'))) for (const { channel } of this.#running.values()) channel.look();
    });
    this.#arrange();
  }

  async close(): Promise<void> {
    this.#unsubscribe();
    await Promise.all([...this.#running.values()].map(({ channel }) => channel.close()));
  }

  #arrange(): void {
    const { control, keys, dataDir, logger, clock } = this.#options;
    const wanted = new Set<string>();
    for (const { manifest, secrets } of control.state.manifests('Channel')) {
      const { name, spec } = manifest as Manifest<'Channel'>;
      wanted.add(name);
      const sealed = secrets['webhook.secret'];
      const of = JSON.stringify([spec, sealed?.fingerprint]);
      const running = this.#running.get(name);
      if (running?.of === of) continue;
      void running?.channel.close();
      this.#running.delete(name);
      if (sealed === undefined) continue;
      try {
        const channel = new WebhookChannel({
          name,
          target: {
            url: spec.webhook.url,
            secret: keys.openAtRest(sealed.sealed, secretContext('Channel', name, 'webhook.secret')),
            groups: spec.groups,
          },
          approvals: {
            pending: () => control.state.pendingApprovals(),
            approval: id => control.state.approval(id),
            shown: (id, state) => shown(id, state)[0],
          },
          // Another address is another far side, which has been told nothing.
          cursorFile: path.join(
            dataDir,
            'channels',
            `${name}-${createHash('sha256').update(spec.webhook.url).digest('hex').slice(0, 16)}.json`,
          ),
          logger,
          clock,
        });
        this.#running.set(name, { of, channel });
        channel.look();
      } catch (error) {
        logger.error({ channel: name, err: errorText(error) }, 'a channel cannot be used');
      }
    }
    for (const [name, { channel }] of this.#running) {
      if (wanted.has(name)) continue;
      void channel.close();
      this.#running.delete(name);
    }
  }
}
