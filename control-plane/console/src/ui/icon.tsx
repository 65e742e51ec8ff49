/** The icons, drawn on a grid of 16. */
const paths = {
  inbox: 'M2 9l2-6h8l2 6v4H2V9zm0 0h3.5l1 2h3l1-2H14',
  sessions: 'M2 3h12v10H2zM4.5 6l2 2-2 2M8 10h3.5',
  list: 'M5.5 4H14M5.5 8H14M5.5 12H14M2.5 4h.01M2.5 8h.01M2.5 12h.01',
  overview: 'M2 13V8m4 5V3m4 10V6m4 7V9',
  resource: 'M8 2c3.3 0 5 1 5 2v8c0 1-1.7 2-5 2s-5-1-5-2V4c0-1 1.7-2 5-2zM3 4c0 1 1.7 2 5 2s5-1 5-2M3 8c0 1 1.7 2 5 2s5-1 5-2',
  agent: 'M8 2v2M3 6h10v6H3zM6 9h.01M10 9h.01M5 14h6',
  shield: 'M8 2l5 2v4c0 3-2.2 5-5 6-2.8-1-5-3-5-6V4z',
  flask: 'M6.5 2h3M7 2v4l-4 7h10L9 6V2',
  map: 'M2 4l4-2 4 2 4-2v10l-4 2-4-2-4 2zM6 2v10M10 4v10',
  seal: 'M8 2l2 1.2 2.3.2.4 2.3L14 8l-1.3 2.3-.4 2.3-2.3.2L8 14l-2-1.2-2.3-.2-.4-2.3L2 8l1.3-2.3.4-2.3L6 3.200zM5.500 8l2 2 3-3.500',
  search: 'M7 12A5 5 0 107 2a5 5 0 000 10zm3.600-1.400L14 14',
  check: 'M3 8.500l3.500 3.500L13 4.500',
  cross: 'M4 4l8 8M12 4l-8 8',
  warn: 'M8 2.500L14.500 13.500h-13zM8 7v3M8 11.800v.01',
  info: 'M8 14A6 6 0 108 2a6 6 0 000 12zM8 7.500V11M8 5.200v.01',
  key: 'M10 9a3 3 0 100-6 3 3 0 000 6zM7.800 8L3 12.800V14h2v-1.500h1.500V11',
  user: 'M8 8a3 3 0 100-6 3 3 0 000 6zM2.500 14c.5-3 2.700-4.500 5.500-4.500s5 1.500 5.500 4.500',
  bot: 'M3 6h10v7H3zM8 6V3M6 9h.01M10 9h.01M6 11.500h4',
  sun: 'M8 11a3 3 0 100-6 3 3 0 000 6zM8 1.500V3M8 13v1.500M1.500 8H3M13 8h1.500M3.400 3.400l1 1M11.600 11.600l1 1M3.400 12.600l1-1M11.600 4.400l1-1',
  moon: 'M13 9.500A5.500 5.500 0 016.500 3 5.500 5.500 0 1013 9.500z',
  screen: 'M2 3h12v8H2zM6 14h4M8 11v3',
  menu: 'M2 4h12M2 8h12M2 12h12',
  more: 'M3.500 8h.01M8 8h.01M12.500 8h.01',
  out: 'M6 2H3v12h3M10 5l3 3-3 3M13 8H6',
  bell: 'M4 11V7a4 4 0 018 0v4l1 1.500H3zM7 14h2',
  copy: 'M5.500 5.500h8v8h-8zM3 10.500H2.500v-8h8V3',
  download: 'M8 2v8M5 7.500L8 10.500l3-3M3 13.500h10',
  plus: 'M8 3v10M3 8h10',
  stop: 'M4 4h8v8H4z',
  play: 'M5 3l8 5-8 5z',
  columns: 'M2 3h12v10H2zM6 3v10M10 3v10',
  star: 'M8 2l1.800 3.800 4.200.5-3.100 2.900.8 4.100L8 11.300l-3.700 2 .8-4.100L2 6.300l4.200-.5z',
  back: 'M10 3L5 8l5 5',
  clock: 'M8 14A6 6 0 108 2a6 6 0 000 12zM8 4.500V8l2.500 1.500',
  book: 'M3 3h4c.600 0 1 .4 1 1v9c0-.6-.4-1-1-1H3zM13 3H9c-.600 0-1 .4-1 1v9c0-.6.4-1 1-1h4z',
  route:
    'M4 12a2 2 0 100-4 2 2 0 000 4zM12 8a2 2 0 100-4 2 2 0 000 4zM4 8V6c0-1.500 1-2.500 2.500-2.500H8M12 8v2c0 1.500-1 2.500-2.500 2.500H8',
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
