/** What Ink says of a key: the parts that we read. */
interface InkKey {
  readonly upArrow: boolean;
  readonly downArrow: boolean;
  readonly leftArrow: boolean;
  readonly rightArrow: boolean;
  readonly pageUp: boolean;
  readonly pageDown: boolean;
  readonly home: boolean;
  readonly end: boolean;
  readonly return: boolean;
  readonly escape: boolean;
  readonly tab: boolean;
  readonly shift: boolean;
  readonly ctrl: boolean;
  readonly meta: boolean;
  readonly backspace: boolean;
  readonly delete: boolean;
}

const named = [
  ['upArrow', 'up'],
  ['downArrow', 'down'],
  ['leftArrow', 'left'],
  ['rightArrow', 'right'],
  ['pageUp', 'pageup'],
  ['pageDown', 'pagedown'],
  ['home', 'home'],
  ['end', 'end'],
  ['return', 'enter'],
  ['escape', 'esc'],
  ['backspace', 'backspace'],
  ['delete', 'backspace'],
] as const satisfies readonly (readonly [keyof InkKey, string])[];

/** The names of the keys in one piece of input: `up`, `enter`, `ctrl-c`, `shift-tab`, or the letter itself. A paste is many keys. */
export function keyNames(input: string, key: InkKey): readonly string[] {
  const special = named.find(([flag]) => key[flag]);
  if (special) return [special[1]];
  if (key.tab) return [key.shift ? 'shift-tab' : 'tab'];
  if (key.ctrl) return input === '' ? [] : [`ctrl-${input}`];
  // Keys that were typed while we were busy come together.
  const letters = [...input].map(nameOf);
  // A terminal cannot tell Alt-x from esc and x in quick succession; the second is what we have keys for.
  return key.meta ? ['esc', ...letters] : letters;
}

const controls: Readonly<Record<string, string>> = { '\r': 'enter', '\n': 'enter', '\t': 'tab', '\b': 'backspace', '\u007f': 'backspace', '\u001b': 'esc' };
const nameOf = (letter: string): string => controls[letter] ?? (letter < ' ' ? `ctrl-${String.fromCharCode(letter.charCodeAt(0) + 96)}` : letter);

/** Whether a key is one letter that can be typed. */
export const isTyped = (key: string): boolean => [...key].length === 1 && key >= ' ';
