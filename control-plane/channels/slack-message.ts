/**
 * An approval as a Slack message. Everything that a client could have written stands in `plain_text`: no mention, link or formatting
 * comes out of a statement.
 */
import type { KnownBlock } from '@slack/types';
import type { Approval } from '../http/schemas.ts';

/** Slack takes 3000 characters in a section. */
const STATEMENT_MAX = 2500;
const LINE_MAX = 300;

export const APPROVE = 'sallyport-approve';
export const DENY = 'sallyport-deny';

/** @param address of the approval in the console; absent: there is no console. */
export function slackMessage(approval: Approval, address: string | undefined): { text: string; blocks: KnownBlock[] } {
  const { id, state, kind, principal, resource, rule, groups, quorum, approvedBy, reason } = approval;
  const who = clip(principal.name, LINE_MAX);
  const what = kind === 'access' ? `access to ${resource} for a time` : `a command on ${resource}`;
  const text = state === 'pending' ? `${who} waits for an approval: ${what}` : `${state}: ${what}, asked for by ${who}`;
  const lines = [
    `Rule ${clip(rule, LINE_MAX)}; ${quorum} of each of: ${groups.join(', ')}; until ${approval.expiresAt}`,
    ...(approvedBy.length === 0 ? [] : [`${state === 'denied' ? 'denied' : 'approved'} by ${clip(approvedBy.join(', '), LINE_MAX)}`]),
    ...(reason === '' ? [] : [`reason: ${clip(reason, LINE_MAX)}`]),
    ...effectOf(approval),
    `Approval ${id}`,
  ];
  const blocks: KnownBlock[] = [
    { type: 'header', text: plain(clip(text, 140)) },
    ...(approval.text === '' ? [] : [{ type: 'section' as const, text: plain(clip(approval.text, STATEMENT_MAX)) }]),
    { type: 'context', elements: [plain(clip(lines.join('\n'), 1900))] },
  ];
  if (state === 'pending') {
    blocks.push({
      type: 'actions',
      block_id: `sallyport:${id}`,
      elements: [
        { type: 'button', action_id: APPROVE, value: id, style: 'primary', text: plain('Approve') },
        { type: 'button', action_id: DENY, value: id, style: 'danger', text: plain('Deny') },
        ...(address === undefined
          ? []
          : [{ type: 'button' as const, action_id: 'sallyport-open', url: address, text: plain('Look at it') }]),
      ],
    });
  }
  return { text: escaped(text), blocks };
}

function effectOf({ preview }: Approval): string[] {
  if (preview === null) return [];
  return [preview.rowCount === null ? `no preview: ${clip(preview.unavailable, LINE_MAX)}` : `changes ${preview.rowCount} rows`];
}

function plain(text: string): { type: 'plain_text'; text: string; emoji: false } {
  return { type: 'plain_text', text, emoji: false };
}

/** The text for notifications is mrkdwn. */
function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll(/[*_~`]/g, ' ');
}

function clip(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max - 1).toWellFormed()}…`;
}
