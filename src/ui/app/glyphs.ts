import type { Look } from '../look.ts';

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
export const glyphsOf = ({ unicode: able }: Pick<Look, 'unicode'>): Glyphs => (able ? unicode : ascii);

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
