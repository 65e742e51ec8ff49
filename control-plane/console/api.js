/** Calls the API with the token of this tab. The token is kept in sessionStorage: it goes with the tab, and to no other site. */

const key = 'sallyport-token';

export const token = {
  get: () => sessionStorage.getItem(key),
  set: value => sessionStorage.setItem(key, value),
  clear: () => sessionStorage.removeItem(key),
};

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** @param {string} path @param {{method?: string, body?: unknown}} [options] */
export async function api(path, { method = 'GET', body } = {}) {
  const response = await fetch(path, {
    method,
    cache: 'no-store',
    credentials: 'omit',
    headers: { authorization: `Bearer ${token.get() ?? ''}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = await response.json();
  if (!response.ok) throw new ApiError(response.status, answer.detail ?? response.statusText);
  return answer;
}
