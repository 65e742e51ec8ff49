/** Names in queries. */

/** As a value of the query language. */
export function quoted(text: string): string {
  return /[\s()",]/.test(text) ? JSON.stringify(text) : text;
}
