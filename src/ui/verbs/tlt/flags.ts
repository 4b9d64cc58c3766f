import { EdgeError } from '../../../core/errors.ts';
import { commonFlags, type TltFlag, type TltNetwork, type TltVerb, tltFlags } from '../../../formats/spec/cli-flags.ts';
import { didYouMean } from '../../../formats/spec/near-miss.ts';

/** Ours, beside TLT's. */
const ownFlags: readonly TltFlag[] = [
  { long: '--key_file', kind: 'file', meaning: 'file whose first line is the key: safer than -k' },
  { long: '--tensorrt', kind: 'text', default: '8.6.1', meaning: 'TensorRT of the device, for the calibration cache’s header' },
  { long: '--json', kind: 'switch', meaning: 'print status lines as NDJSON' },
  { short: '-h', long: '--help', kind: 'switch', meaning: 'this list' },
];

/** A command line of the TLT form, read: values by long name without dashes, defaults filled. */
export interface TltWords {
  readonly network: TltNetwork;
  readonly verb: TltVerb;
  readonly text: (name: string) => string | undefined;
  readonly need: (name: string) => string;
  readonly number: (name: string) => number | undefined;
  readonly on: (name: string) => boolean;
  readonly list: (name: string) => readonly string[];
  /** True where the words have the flag, a default aside. */
  readonly given: (name: string) => boolean;
  /** What was accepted without effect. */
  readonly notes: readonly string[];
}

/** Every flag of a verb, TLT's and ours. Throws `usage` where TLT has no such verb for the network. */
export function flagsOf(network: TltNetwork, verb: string): readonly TltFlag[] {
  const verbs = tltFlags[network];
  const own = Object.hasOwn(verbs, verb) ? verbs[verb as TltVerb] : undefined;
  if (own) return [...own, ...commonFlags, ...ownFlags];
  const why =
    verb === 'dataset_convert'
      ? 'Classification reads class folders as they are: name them as train_dataset_path and val_dataset_path in the spec.'
      : `Use one of: ${Object.keys(verbs).join(', ')}. ${didYouMean(verb, Object.keys(verbs))}`.trim();
  throw new EdgeError('usage', `${network} has no ${verb === '' ? 'verb given' : `"${verb}"`}.`, { hint: why });
}

/** Reads the words after `edgeforge <network> <verb>` as TLT's argparse does: short flags of several letters, `--flag=value`, unambiguous beginnings of long flags. Throws `usage`. */
export function readTltWords(network: TltNetwork, verb: TltVerb, words: readonly string[]): TltWords {
  const flags = flagsOf(network, verb);
  const values = new Map<TltFlag, readonly string[]>();
  for (let at = 0; at < words.length; ) {
    const word = words[at++] as string;
    const equals = word.startsWith('--') ? word.indexOf('=') : -1;
    const flag = flagNamed(flags, equals < 0 ? word : word.slice(0, equals), verb);
    const taken: string[] = equals < 0 ? [] : [word.slice(equals + 1)];
    const most = flag.kind === 'switch' ? 0 : flag.kind === 'list' ? Number.POSITIVE_INFINITY : 1;
    while (equals < 0 && taken.length < most && at < words.length && !isFlag(words[at] as string, flags)) taken.push(words[at++] as string);
    check(flag, taken, flag.kind === 'switch' && equals >= 0);
    values.set(flag, taken);
  }
  if (!flags.some(flag => flag.long === '--help' && values.has(flag))) requireAll(flags, values, network, verb);
  return reader(network, verb, flags, values);
}

const spellings = ({ short, long, aliases = [] }: TltFlag): readonly string[] => [long, ...(short ? [short] : []), ...aliases];
/** A word that begins a flag; negative numbers and lone dashes are values. */
const isFlag = (word: string, flags: readonly TltFlag[]): boolean =>
  (word.startsWith('-') && word !== '-' && !/^-\d/.test(word)) || flags.some(flag => spellings(flag).includes(word));

function flagNamed(flags: readonly TltFlag[], word: string, verb: string): TltFlag {
  const exact = flags.find(flag => spellings(flag).includes(word));
  if (exact) return exact;
  const begun = word.startsWith('--') && word.length > 3 ? flags.filter(flag => spellings(flag).some(name => name.startsWith(word))) : [];
  if (begun.length === 1 && begun[0]) return begun[0];
  const names = flags.flatMap(spellings);
  const meant = didYouMean(word, names);
  if (!word.startsWith('-')) throw new EdgeError('usage', `"${word}" belongs to no flag of ${verb}.`, { hint: 'Flags come first: -e SPEC. If a path has blanks, quote it.' });
  throw new EdgeError('usage', `${verb} has no flag ${word}${begun.length > 1 ? `: it could be ${begun.map(flag => flag.long).join(' or ')}` : ''}.`, {
    hint: meant === '' ? `Known: ${names.join(' ')}` : meant,
  });
}

function check(flag: TltFlag, taken: readonly string[], switchWithValue: boolean): void {
  const wrong = (message: string, hint: string) => new EdgeError('usage', message, { hint });
  if (switchWithValue) throw wrong(`${flag.long} takes no value.`, `Write ${flag.long} alone.`);
  const [value] = taken;
  if (flag.kind === 'switch') return;
  if (value === undefined) throw wrong(`${flag.short ?? flag.long} needs a value (${flag.meaning}).`, 'If it is a shell variable, check that it is set.');
  if (flag.choices && !flag.choices.includes(value))
    throw wrong(`${flag.short ?? flag.long} ${value} is none of ${flag.choices.join(', ')}.`, didYouMean(value, flag.choices) || `Choose one of: ${flag.choices.join(', ')}.`);
  if (flag.kind === 'int' && !/^[+-]?\d{1,15}$/.test(value)) throw wrong(`${flag.short ?? flag.long} ${value} is no whole number.`, `It means: ${flag.meaning}.`);
  if (flag.kind === 'float' && !/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(value))
    throw wrong(`${flag.short ?? flag.long} ${value} is no number.`, `It means: ${flag.meaning}.`);
}

function requireAll(flags: readonly TltFlag[], values: ReadonlyMap<TltFlag, readonly string[]>, network: string, verb: string): void {
  const absent = flags.filter(flag => flag.required && !values.has(flag));
  if (absent.length === 0) return;
  throw new EdgeError('usage', `${network} ${verb} needs ${absent.map(flag => `${flag.short ?? flag.long} (${flag.meaning})`).join(' and ')}.`, {
    hint: `See: edgeforge ${network} ${verb} --help`,
  });
}

function reader(network: TltNetwork, verb: TltVerb, flags: readonly TltFlag[], values: ReadonlyMap<TltFlag, readonly string[]>): TltWords {
  const named = (name: string) => flags.find(flag => spellings(flag).includes(`--${name}`));
  const text = (name: string): string | undefined => {
    const flag = named(name);
    if (!flag) return undefined;
    const value = values.get(flag)?.[0] ?? (flag.default === undefined ? undefined : String(flag.default));
    return value === '' ? undefined : value;
  };
  const given = (name: string): boolean => {
    const flag = named(name);
    return flag !== undefined && values.has(flag);
  };
  return {
    network,
    verb,
    text,
    need: name => {
      const value = text(name);
      if (value === undefined)
        throw new EdgeError('usage', `${network} ${verb} needs ${spellings(named(name) as TltFlag).join(' or ')}.`, { hint: `See: edgeforge ${network} ${verb} --help` });
      return value;
    },
    number: name => {
      const value = text(name);
      return value === undefined ? undefined : Number(value);
    },
    on: given,
    list: name => values.get(named(name) as TltFlag) ?? [],
    given,
    notes: [...values.keys()].flatMap(flag => (flag.ignored ? [`${flag.long} is accepted and has no effect: ${flag.ignored}.`] : [])),
  };
}

/** The flags as a help text. */
export function tltHelp(network: TltNetwork, verb: TltVerb): string {
  const rows = flagsOf(network, verb).map(flag => {
    const value = flag.kind === 'switch' ? '' : ` ${flag.choices ? flag.choices.join('|') : flag.kind === 'list' ? 'NAME…' : flag.kind.toUpperCase()}`;
    const notes = [
      flag.required ? 'required' : '',
      flag.default === undefined || flag.default === '' ? '' : `default ${flag.default}`,
      flag.ignored ? 'no effect here' : '',
    ].filter(note => note !== '');
    return {
      left: `  ${[flag.short, flag.long].filter(name => name !== undefined).join(', ')}${value}`,
      right: `${flag.meaning}${notes.length > 0 ? ` (${notes.join('; ')})` : ''}`,
    };
  });
  const wide = Math.min(44, Math.max(...rows.map(({ left }) => left.length)));
  return [`edgeforge ${network} ${verb}: TLT’s flags`, ...rows.map(({ left, right }) => `${left.padEnd(wide)}  ${right}`)].join('\n');
}
