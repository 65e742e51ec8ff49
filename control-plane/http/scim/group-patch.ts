/**
 * What a PATCH makes of a group, in all the ways that directories write it: members added and removed one by one, by a value or by a path
 * with a filter, replaced as a whole, all removed; attributes with a path or without. Pure.
 *
 * Attributes that are not kept change nothing; what cannot be understood is refused, since it might have taken somebody out.
 *
 * @see RFC 7644 section 3.5.2
 */
import type { GroupAttributes } from '../../aggregates/group.ts';
import { parsePath } from './filter.ts';
import { invalid, type Json, objectOf, operationsOf, textOf } from './message.ts';

export interface Group {
  group: GroupAttributes;
  members: ReadonlySet<string>;
}

const operationsMax = 1_000;

/** @throws {GatewayError} SCIM_INVALID, FILTER_INVALID. */
export function patchedGroup(before: Group, body: Json): { group: GroupAttributes; members: Set<string> } {
  let group = before.group;
  const members = new Set(before.members);
  const put = (attribute: string, value: unknown) => {
    if (attribute === 'displayname') group = { ...group, displayName: textOf('displayName', value) };
    else if (attribute === 'externalid') group = withExternalId(group, value);
  };
  for (const { kind, path, value } of operationsOf(body, operationsMax)) {
    if (path === undefined) {
      if (kind === 'remove') throw invalid('remove needs a path');
      for (const [name, each] of Object.entries(objectOf(value))) {
        const { attribute } = parsePath(name);
        if (attribute === 'members') changeMembers(members, kind, null, each);
        else put(attribute, each);
      }
      continue;
    }
    const { attribute, chosen } = parsePath(path);
    if (attribute === 'members') changeMembers(members, kind, chosen, value);
    else if (chosen !== null || attribute.startsWith('members.')) throw invalid('the path names what cannot be changed');
    else if (kind !== 'remove') put(attribute, value);
    else if (attribute === 'displayname') throw invalid('displayName cannot be removed');
    else if (attribute === 'externalid') group = withExternalId(group, null);
  }
  return { group, members };
}

/** Of a whole group, as POST and PUT send it. @throws {GatewayError} SCIM_INVALID. */
export function groupOf(body: Json): { group: GroupAttributes; members: string[] } {
  // Names of attributes are told apart without case (RFC 7643 section 2.1).
  const said = new Map(Object.entries(body).map(([name, value]) => [name.toLowerCase(), value]));
  const [displayName, externalId, members] = ['displayname', 'externalid', 'members'].map(name => said.get(name));
  const group = withExternalId({ displayName: textOf('displayName', displayName) }, externalId);
  return { group, members: members === undefined || members === null ? [] : idsOf(members) };
}

function withExternalId({ displayName }: GroupAttributes, value: unknown): GroupAttributes {
  return value === undefined || value === null ? { displayName } : { displayName, externalId: textOf('externalId', value) };
}

function changeMembers(members: Set<string>, kind: 'add' | 'replace' | 'remove', chosen: string | null, value: unknown): void {
  if (chosen !== null) {
    if (kind !== 'remove') throw invalid('members that a filter chooses can only be removed');
    members.delete(chosen);
    return;
  }
  if (kind === 'remove') {
    // Without a value: all of them.
    if (value === undefined || value === null) members.clear();
    else for (const id of idsOf(value)) members.delete(id);
    return;
  }
  const ids = idsOf(value);
  if (kind === 'replace') members.clear();
  for (const id of ids) members.add(id);
}

/** `[{ "value": "ID" }]`; also one of them alone, or ids as texts. */
function idsOf(value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.map(each => textOf('members', typeof each === 'string' ? each : objectOf(each)['value']));
}
