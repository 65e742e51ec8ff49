/** The sample identity provider's few pages: no scripts, nothing loaded from elsewhere. */
import type { Person } from './people.ts';

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:12vh auto;padding:0 1rem;color:#1c2430}
h1{font-size:1.4rem}button,input{font:inherit;padding:.6rem .8rem;border:1px solid #b6c0cc;border-radius:6px;background:#fff;width:100%;box-sizing:border-box;text-align:left;margin:.25rem 0;cursor:pointer}
button:hover{background:#eef3f8}small{display:block;color:#5b6775}code{font-size:1.3rem;letter-spacing:.1em}`;

function page(title: string, body: string): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title><style>${STYLE}</style></head><body><h1>${escapeHtml(title)}</h1>${body}</body></html>`;
}

/** A heading and a sentence. */
export function textPage(title: string, text: string): string {
  return page(title, `<p>${escapeHtml(text)}</p>`);
}

/** A form that oidc-provider has made (its markup is trusted), with a button for it. */
export function formPage(title: string, text: string, form: string, formId: string): string {
  return page(title, `<p><code>${escapeHtml(text)}</code></p>${form}<button type="submit" form="${escapeHtml(formId)}">Continue</button>`);
}

/** One button per person; each posts to `action?person=ID`. */
export function chooserPage(action: string, people: readonly Person[]): string {
  const buttons = people.map(
    ({ id, name, groups, does }) =>
      `<form method="post" action="${escapeHtml(action)}?person=${escapeHtml(id)}"><button>${escapeHtml(name)}<small>${escapeHtml(does)}; group ${escapeHtml(groups.join(', '))}</small></button></form>`,
  );
  return page('Who are you today?', `<p>The sample company's sign-in. There are no passwords here.</p>${buttons.join('')}`);
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`);
}
