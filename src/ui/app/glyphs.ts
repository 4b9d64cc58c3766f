import type { TerminalLook } from './state.ts';

const unicode = {
  waiting: '·',
  running: '▸',
  ran: '✔',
  cached: '=',
  failed: '✘',
  skipped: '-',
  unknown: '?',
  note: 'i',
  cursor: '❯',
  full: '█',
  empty: '░',
  dot: '·',
  dash: '—',
  more: '…',
  line: '─',
  up: '↑',
  down: '↓',
} as const;
/** Marks and lines; each mark also differs by shape, so that colour carries nothing alone. */
export type Glyphs = { readonly [Name in keyof typeof unicode]: string };
const ascii: Glyphs = {
  waiting: '.',
  running: '>',
  ran: '+',
  cached: '=',
  failed: 'x',
  skipped: '-',
  unknown: '?',
  note: 'i',
  cursor: '>',
  full: '#',
  empty: '.',
  dot: '-',
  dash: '-',
  more: '~',
  line: '-',
  up: '^',
  down: 'v',
};

/** The marks that this terminal can show. */
export const glyphsOf = ({ unicode: able }: Pick<TerminalLook, 'unicode'>): Glyphs => (able ? unicode : ascii);

const spelled: Readonly<Record<string, string>> = {
  '…': '~',
  '→': '>',
  '←': '<',
  '–': '-',
  '—': '-',
  '−': '-',
  '’': "'",
  '‘': "'",
  '“': '"',
  '”': '"',
  '×': 'x',
  '·': '-',
  '•': '*',
  '≤': '<',
  '≥': '>',
  '°': ' ',
  '│': '|',
  '█': '#',
};
/** Text for a terminal without Unicode: what has a spelling in ASCII is spelled, the rest is a question mark. */
export const toAscii = (text: string): string => text.replace(/[\u0080-\u{10ffff}]/gu, letter => spelled[letter] ?? '?');

/** What the environment says of the terminal: UTF-8 locale, colours wanted. */
export const lookOf = (env: Readonly<Record<string, string | undefined>>, size: { readonly columns: number; readonly rows: number }): TerminalLook => ({
  ...size,
  unicode: /utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || '') && env.TERM !== 'linux',
  colour: !env.NO_COLOR && env.TERM !== 'dumb',
});
