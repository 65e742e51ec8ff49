/** Builds elements. Text is only ever text: nothing that comes from the API is read as HTML. */

/**
 * @param {string} tag
 * @param {Record<string, unknown>} [properties] `class`, `on…` listeners, and attributes; null and false leave one out.
 * @param {...(Node | string | number | null | undefined | false)} children
 */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on') && typeof value === 'function') node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children) if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}

/**
 * @param {{title: string, class?: string, cell: (row: any) => Node | string | number | null}[]} columns
 * @param {any[]} rows
 * @param {string} emptyText
 */
export function table(columns, rows, emptyText) {
  if (rows.length === 0) return el('p', { class: 'empty' }, emptyText);
  return el(
    'table',
    {},
    el('thead', {}, el('tr', {}, ...columns.map(column => el('th', { class: column.class, scope: 'col' }, column.title)))),
    el('tbody', {}, ...rows.map(row => el('tr', {}, ...columns.map(column => el('td', { class: column.class }, column.cell(row)))))),
  );
}

/** @param {string} text @param {'good' | 'bad' | 'wait' | ''} [tone] */
export function badge(text, tone = '') {
  return el('span', { class: `badge ${tone}` }, text);
}

/** @param {string | null | undefined} iso */
export function time(iso) {
  if (!iso) return '';
  const date = new Date(iso);
  const today = new Date().toDateString() === date.toDateString();
  return el('time', { datetime: iso, title: date.toLocaleString() }, today ? date.toLocaleTimeString() : date.toLocaleString());
}

/** A line to copy. @param {string} text */
export function copyLine(text) {
  const button = el(
    'button',
    {
      type: 'button',
      class: 'quiet small',
      onclick: async () => {
        await navigator.clipboard.writeText(text);
        button.textContent = 'Copied';
        setTimeout(() => {
          button.textContent = 'Copy';
        }, 1500);
      },
    },
    'Copy',
  );
  return el('div', { class: 'line' }, el('code', {}, text), button);
}
