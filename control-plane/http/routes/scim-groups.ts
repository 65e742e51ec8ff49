/**
 * SCIM 2.0 for groups: a directory tells who is in them (aggregates/group.ts). Such a group is the directory's alone, whatever tokens say
 * (shared/identity/directory-groups.ts): who is taken out of it loses at once what it gave, live sessions included.
 *
 * Members are users that the directory has made here. Deliberately absent: groups in groups, bulk, sorting.
 *
 * @see RFC 7643 section 4.2, RFC 7644
 */
import { randomUUID } from 'node:crypto';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { GatewayError } from '@sallyport/shared/errors.ts';
import type { FastifyInstance } from 'fastify';
import { informedAction } from '../../aggregates/control-log.ts';
import type { Rejection } from '../../aggregates/decider.ts';
import { type GroupAttributes, type GroupRequest, type GroupState, groupAggregate, groupsMax } from '../../aggregates/group.ts';
import type { Projection } from '../../aggregates/projection.ts';
import { userAggregate } from '../../aggregates/user.ts';
import { provenanceOf } from '../authentication.ts';
import type { ApiContext } from '../context.ts';
import { type Comparison, parseFilter } from '../scim/filter.ts';
import { groupOf, patchedGroup } from '../scim/group-patch.ts';
import { answer, type Json, objectOf, page, schemas, speakScim } from '../scim/message.ts';

/** A group with all its members. */
const bodyLimit = 4 * 1024 * 1024;

type Present = GroupState & { status: 'present' };

const unknown = () => new GatewayError('GROUP_UNKNOWN', 'notFound', 'There is no such group.');
const hidden = { schema: { hide: true } };

export function scimGroupRoutes({ control }: ApiContext): FastifyPluginAsyncTypebox {
  return async app => {
    speakScim(app as unknown as FastifyInstance);

    app.get('/scim/v2/Groups', hidden, async (request, reply) => {
      const query = request.query as Json;
      const { filter } = query;
      const fits = filter === undefined ? () => true : matcher(parseFilter(filter));
      const found = control.state.groups().flatMap(([id, state]) => (state.status === 'present' && fits(id, state) ? [{ id, state }] : []));
      return answer(
        reply,
        200,
        page(found, query, ({ id, state }) => shown(id, state, query)),
      );
    });

    app.get<{ Params: { id: string } }>('/scim/v2/Groups/:id', hidden, async (request, reply) =>
      answer(reply, 200, shown(request.params.id, presentOrThrow(request.params.id), request.query as Json)),
    );

    app.post('/scim/v2/Groups', { ...hidden, bodyLimit }, async (request, reply) => {
      const { group, members } = groupOf(objectOf(request.body));
      const id = randomUUID();
      await change(id, () => ({ type: 'create', group, members }), provenanceOf(request, 'provisioned by the directory'));
      return answer(reply, 201, shown(id, presentOrThrow(id), {}));
    });

    app.put<{ Params: { id: string } }>('/scim/v2/Groups/:id', { ...hidden, bodyLimit }, async (request, reply) => {
      const { id } = request.params;
      const { group, members } = groupOf(objectOf(request.body));
      presentOrThrow(id);
      await change(id, () => ({ type: 'change', group, members }), provenanceOf(request, 'changed by the directory'));
      return answer(reply, 200, shown(id, presentOrThrow(id), {}));
    });

    app.patch<{ Params: { id: string } }>('/scim/v2/Groups/:id', { ...hidden, bodyLimit }, async (request, reply) => {
      const { id } = request.params;
      const body = objectOf(request.body);
      presentOrThrow(id);
      // Of the group as it is when it is decided: two changes at the same time both count.
      const made = (all: Projection): GroupRequest => {
        const state = all.group(id);
        if (state.status !== 'present') throw unknown();
        const { group, members } = patchedGroup(state, body);
        return { type: 'change', group, members: [...members] };
      };
      await change(id, made, provenanceOf(request, 'changed by the directory'));
      return reply.code(204).send();
    });

    app.delete<{ Params: { id: string } }>('/scim/v2/Groups/:id', hidden, async (request, reply) => {
      presentOrThrow(request.params.id);
      await change(request.params.id, () => ({ type: 'delete' }), provenanceOf(request, 'deprovisioned by the directory'));
      return reply.code(204).send();
    });
  };

  function presentOrThrow(id: string): Present {
    const state = control.state.group(id);
    if (state.status !== 'present') throw unknown();
    return state as Present;
  }

  async function change(id: string, made: (all: Projection) => GroupRequest, provenance: ReturnType<typeof provenanceOf>): Promise<void> {
    const decided = informedAction(groupAggregate, id, [groupAggregate.name, userAggregate.name], all => {
      const request = made(all);
      return (request.type === 'delete' ? null : refusal(all, id, request.group, request.members)) ?? request;
    });
    const outcome = await control.execute([decided], provenance);
    if (!outcome.accepted) throw new GatewayError(outcome.rejection.code, outcome.rejection.kind, outcome.rejection.message);
  }

  function shown(id: string, { group, members }: Pick<Present, 'group' | 'members'>, { attributes, excludedAttributes }: Json): Json {
    const wanted = (list: unknown) =>
      String(list)
        .toLowerCase()
        .split(',')
        .map(each => each.trim());
    const isWithout =
      (excludedAttributes !== undefined && wanted(excludedAttributes).includes('members')) ||
      (attributes !== undefined && !wanted(attributes).includes('members'));
    const people = [...members].flatMap(value => {
      const user = control.state.user(value);
      return user.status === 'present' ? [{ value, display: user.user.userName, $ref: `/scim/v2/Users/${value}` }] : [];
    });
    return {
      ...{ schemas: [schemas.group], id, ...group },
      ...(isWithout ? {} : { members: people }),
      meta: { resourceType: 'Group', location: `/scim/v2/Groups/${id}` },
    };
  }
}

/** Names are one group's; members are people whom the directory has made here. */
function refusal(all: Projection, id: string, { displayName }: GroupAttributes, members: readonly string[]): Rejection | null {
  const others = all.groups().filter(([other, { status }]) => other !== id && status === 'present');
  if (others.some(([, state]) => state.status === 'present' && state.group.displayName === displayName))
    return { code: 'GROUP_NAME_TAKEN', kind: 'conflict', message: 'Another group has this displayName.' };
  if (others.length >= groupsMax) return { code: 'GROUPS_TOO_MANY', kind: 'invalid', message: `There may be ${groupsMax} groups.` };
  const state = all.group(id);
  const before: ReadonlySet<string> = state.status === 'present' ? state.members : new Set();
  const stranger = members.find(member => !before.has(member) && all.user(member).status !== 'present');
  return stranger === undefined
    ? null
    : { code: 'MEMBER_UNKNOWN', kind: 'invalid', message: 'A member is no user that was made here: users come before their groups.' };
}

function matcher(comparisons: readonly Comparison[]): (id: string, state: Present | GroupState) => boolean {
  const known = comparisons.map(({ attribute, value }) => {
    switch (attribute) {
      case 'id':
        return (id: string) => id === value;
      case 'displayname':
        return (_id: string, { group }: Present) => group.displayName.toLowerCase() === value.toLowerCase();
      case 'externalid':
        return (_id: string, { group }: Present) => group.externalId === value;
      case 'members':
      case 'members.value':
        return (_id: string, { members }: Present) => members.has(value);
      default:
        throw new GatewayError('FILTER_INVALID', 'invalid', 'Groups are found by id, displayName, externalId and members.');
    }
  });
  return (id, state) => state.status === 'present' && known.every(fits => fits(id, state as Present));
}
