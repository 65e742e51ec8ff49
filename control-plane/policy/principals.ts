/**
 * Who is meant by a name in a question about policy. People's groups come in their tokens, so the control plane knows them only from
 * what was recorded: those of the newest session count, unless the question says others.
 */
import type { Manifest, Principal } from '@sallyport/shared/policy/model.ts';
import { type Named, principalNamed } from '@sallyport/shared/rehearsal/principal-named.ts';
import type { SessionHistory } from '../http/session-history.ts';

interface LastSession {
  issuer: string;
  subject: string;
  groups: string[];
}

export async function principalFor(
  name: string,
  given: Named,
  manifests: readonly Manifest[],
  history: SessionHistory,
): Promise<Principal> {
  const principal = principalNamed(name, given, manifests);
  if (principal.kind === 'workload' || given.groups !== undefined || !history.isConfigured) return principal;
  const [last] = await history.rows<LastSession>(
    "SELECT issuer, subject, groups FROM sallyport.sessions WHERE principal = {name:String} AND principal_kind = 'person' ORDER BY started_at DESC LIMIT 1",
    { name },
  );
  return last === undefined ? principal : { ...principal, ...last };
}
