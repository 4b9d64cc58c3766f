import type { Action } from './action.ts';

/** One way out of a question. */
export interface Choice {
  readonly key: string;
  readonly label: string;
  /** Absent: the question just closes. */
  readonly does?: Action;
}

/** What lies over a screen. Plain data: what happens next is an action, not a function. */
export type Dialog =
  | { readonly kind: 'palette'; readonly text: string; readonly cursor: number }
  | { readonly kind: 'filter'; readonly text: string }
  | { readonly kind: 'help'; readonly scroll: number }
  | { readonly kind: 'tour'; readonly page: number }
  /** A question. Whatever is destroyed is named in `lost`; `cli` is the command that does the same. */
  | { readonly kind: 'ask'; readonly title: string; readonly lost: readonly string[]; readonly cli: string; readonly choices: readonly Choice[]; readonly cursor: number }
  /** A line of text to give; it takes the place of every `{text}` in the words of `does`, and its words that of `{words}`. */
  | { readonly kind: 'prompt'; readonly title: string; readonly hint: string; readonly text: string; readonly does: Action }
  /** One of a list. */
  | { readonly kind: 'pick'; readonly title: string; readonly choices: readonly Choice[]; readonly cursor: number }
  /** What a command printed. */
  | { readonly kind: 'output'; readonly title: string; readonly lines: readonly string[]; readonly scroll: number };
