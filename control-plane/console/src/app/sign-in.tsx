/** The way in: an identity provider, or the administrator's token for the first hours and for emergencies. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { api, useBearer as setBearer } from '../api/client.ts';
import { fetchMe, meKey } from '../api/me.ts';
import { Button, Note } from '../ui/basics.tsx';
import { Untrusted } from '../ui/untrusted.tsx';

export function SignIn() {
  const client = useQueryClient();
  const providers = useQuery({
    queryKey: ['providers'],
    queryFn: () => api<{ providers: { name: string; kind: string }[] } | { name: string; kind: string }[]>('/auth/providers'),
    retry: 1,
  });
  const list = Array.isArray(providers.data) ? providers.data : (providers.data?.providers ?? []);
  const [withToken, setWithToken] = useState(false);
  const [refused, setRefused] = useState('');
  const failed = new URLSearchParams(location.search).get('error');
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const token = String(new FormData(form).get('token') ?? '').trim();
    form.reset();
    setRefused('');
    setBearer(token);
    try {
      const me = await fetchMe();
      if (me === null) throw new Error('That is not the administrator’s token.');
      client.setQueryData(meKey, me);
    } catch (error) {
      setBearer(null);
      setRefused(error instanceof Error ? error.message : String(error));
    }
  };
  const back = `${location.pathname}${location.search}`;
  return (
    <main className="center">
      <div className="col" style={{ width: 'min(340px, 100%)', gap: 18 }}>
        <div className="col" style={{ alignItems: 'center', gap: 10 }}>
          <img src="/console/icon.svg" alt="" width="40" height="40" />
          <h1 style={{ fontSize: 18 }}>Sign in to Sallyport</h1>
        </div>
        {failed !== null && (
          <Note tone="bad">
            <Untrusted text={failed.slice(0, 300)} />
          </Note>
        )}
        {list.map(({ name, kind }) => (
          <a
            key={name}
            className="button primary big"
            href={`/auth/login?provider=${encodeURIComponent(name)}&return=${encodeURIComponent(back)}`}
          >
            Continue with <Untrusted text={name} />
            {kind === 'saml' && ' (SAML)'}
          </a>
        ))}
        {providers.isSuccess && list.length === 0 && (
          <Note>No identity provider is set up yet. Sign in with the administrator’s token and follow the first steps.</Note>
        )}
        {withToken || (list.length === 0 && !providers.isPending) ? (
          <form className="col" onSubmit={event => void submit(event)} autoComplete="off">
            <div className="field">
              <label htmlFor="token">Administrator’s token</label>
              <input
                id="token"
                className="input mono"
                name="token"
                type="password"
                required
                spellCheck={false}
                autoComplete="off"
                aria-describedby="token-hint"
              />
              <span id="token-hint" className="softer">
                In the data folder, <code>control-plane/admin-token</code>. It stays in this tab and is gone when it is reloaded.
              </span>
            </div>
            {refused !== '' && <Note tone="bad">{refused}</Note>}
            <button type="submit" className="button big">
              Sign in with the token
            </button>
          </form>
        ) : (
          list.length > 0 && (
            <Button look="quiet" icon="key" onClick={() => setWithToken(true)}>
              Use the administrator’s token
            </Button>
          )
        )}
      </div>
    </main>
  );
}
