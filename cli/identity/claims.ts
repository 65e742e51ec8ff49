/** A JWT's claims, not verified: for choosing and showing only, never for deciding. Undefined for what is no JWT. */
export function claimsOf(token: string): Record<string, unknown> | undefined {
  const [, payload, signature] = token.split('.');
  if (!payload || !signature) return undefined;
  try {
    return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** What to call the bearer: the address of a person, or the subject. */
export function nameOf(token: string): string {
  const claims = claimsOf(token);
  return (
    ([claims?.email, claims?.name, claims?.sub].find(claim => typeof claim === 'string' && claim !== '') as string | undefined) ??
    'sallyport'
  );
}
