/** The channels that Channel manifests name, made and unmade as the manifests change; each runs on its own. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { errorText } from '@sallyport/shared/errors.ts';
import type { ChannelSpec, Manifest } from '@sallyport/shared/policy/model.ts';
import type { Logger } from 'pino';
import type { ControlLog } from '../aggregates/control-log.ts';
import type { SealedSecret } from '../aggregates/manifest.ts';
import { shown } from '../http/routes/approvals.ts';
import type { Approval } from '../http/schemas.ts';
import { secretContext } from '../leases/secret-context.ts';
import type { ControlPlaneKeys } from '../pki/keys.ts';
import { type Answering, SlackChannel } from './slack-channel.ts';
import type { Approvals, KnownState } from './teller.ts';
import { WebhookChannel } from './webhook-channel.ts';

export interface ChannelsOptions {
  control: ControlLog;
  keys: ControlPlaneKeys;
  dataDir: string;
  logger: Logger;
  clock: () => number;
  /** Of the console, for links in messages. */
  consoleUrl: string | undefined;
  answering: Answering;
}

export class Channels {
  readonly #options: ChannelsOptions;
  readonly #running = new Map<string, { of: string; channel: WebhookChannel | SlackChannel }>();
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

  /** The channel of this name, if it is one of Slack's. */
  slack(name: string): SlackChannel | undefined {
    const channel = this.#running.get(name)?.channel;
    return channel instanceof SlackChannel ? channel : undefined;
  }

  #arrange(): void {
    const { control, logger } = this.#options;
    const wanted = new Set<string>();
    for (const { manifest, secrets } of control.state.manifests('Channel')) {
      const { name, spec } = manifest as Manifest<'Channel'>;
      wanted.add(name);
      const of = JSON.stringify([spec, Object.entries(secrets).map(([path, sealed]) => [path, sealed?.fingerprint])]);
      const running = this.#running.get(name);
      if (running?.of === of) continue;
      void running?.channel.close();
      this.#running.delete(name);
      try {
        const channel = this.#open(name, spec, secrets);
        if (channel === null) continue;
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

  /** @returns null while a secret of it is missing. */
  #open(name: string, spec: ChannelSpec, secrets: Readonly<Record<string, SealedSecret>>): WebhookChannel | SlackChannel | null {
    const { control, keys, dataDir, logger, clock, answering, consoleUrl } = this.#options;
    const secretAt = (place: string): Uint8Array | null => {
      const sealed = secrets[place];
      return sealed === undefined ? null : keys.openAtRest(sealed.sealed, secretContext('Channel', name, place));
    };
    const approvals: Approvals & { shown(id: string, state: KnownState): Approval | undefined } = {
      pending: () => control.state.pendingApprovals(),
      approval: id => control.state.approval(id),
      shown: (id, state) => shown(id, state, control.state)[0],
    };
    // Another address is another far side, which has been told nothing.
    const cursorOf = (address: string): string =>
      path.join(dataDir, 'channels', `${name}-${createHash('sha256').update(address).digest('hex').slice(0, 16)}.json`);
    const { webhook, slack, groups } = spec;
    if (webhook !== undefined) {
      const secret = secretAt('webhook.secret');
      if (secret === null) return null;
      const { url } = webhook;
      return new WebhookChannel({ name, target: { url, secret, groups }, approvals, cursorFile: cursorOf(url), logger, clock });
    }
    const [token, signingSecret] = [secretAt('slack.token'), secretAt('slack.signingSecret')];
    if (slack === undefined || token === null || signingSecret === null) return null;
    const { channel, url } = slack;
    return new SlackChannel({
      ...{ name, approvals, answering, consoleUrl, logger, clock },
      target: { url, channel, token: Buffer.from(token).toString('utf8').trim(), signingSecret, groups },
      cursorFile: cursorOf(`${url} ${channel}`),
    });
  }
}
