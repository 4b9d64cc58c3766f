/** What the terminal can show, and what its owner wants to see. */
export interface Look {
  readonly colour: 'none' | '256' | 'true';
  /** Characters beyond ASCII. */
  readonly unicode: boolean;
  /** How whole pictures can be shown outside the layout: not at all where nothing says so. */
  readonly graphics: 'kitty' | 'sixel' | 'none';
}
type Environment = Readonly<Record<string, string | undefined>>;

/** Reads the look off the environment: NO_COLOR (no-color.org), COLORTERM, TERM, the locale, and the variables by which terminals give themselves away. */
export const lookOf = (environment: Environment): Look => ({
  colour: colourOf(environment),
  unicode: unicodeOf(environment),
  graphics: graphicsOf(environment),
});

function colourOf({ NO_COLOR, COLORTERM = '', TERM = '', TERM_PROGRAM = '' }: Environment): Look['colour'] {
  if (NO_COLOR || TERM === 'dumb' || TERM === '') return 'none';
  if (/truecolor|24bit/i.test(COLORTERM) || /-direct$|kitty|ghostty|alacritty|foot/.test(TERM) || /iTerm|WezTerm|vscode|ghostty/.test(TERM_PROGRAM)) return 'true';
  return '256';
}

function unicodeOf({ LC_ALL, LC_CTYPE, LANG, TERM = '' }: Environment): boolean {
  // The Linux console has no braille and few blocks.
  if (TERM === 'linux' || TERM === 'dumb') return false;
  return /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || '');
}

/** A multiplexer swallows pictures, whatever the terminal behind it can do: there is none under tmux or screen. EDGEFORGE_GRAPHICS overrules the guess. */
function graphicsOf({ EDGEFORGE_GRAPHICS, TMUX, TERM = '', TERM_PROGRAM = '', KITTY_WINDOW_ID, KONSOLE_VERSION }: Environment): Look['graphics'] {
  if (EDGEFORGE_GRAPHICS === 'kitty' || EDGEFORGE_GRAPHICS === 'sixel' || EDGEFORGE_GRAPHICS === 'none') return EDGEFORGE_GRAPHICS;
  if (TMUX || /^(screen|tmux)/.test(TERM)) return 'none';
  if (KITTY_WINDOW_ID || /kitty|ghostty/.test(TERM) || TERM_PROGRAM === 'ghostty') return 'kitty';
  if (/^(foot|mlterm|yaft|contour)/.test(TERM) || /^(iTerm\.app|WezTerm|mintty|contour)$/.test(TERM_PROGRAM) || Number(KONSOLE_VERSION ?? 0) >= 220400) return 'sixel';
  return 'none';
}
