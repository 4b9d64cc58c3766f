import { EdgeError } from '../../core/errors.ts';

// protobufjs ships a text-format reader, but it needs the message type before it reads, keeps no line per field and stops at the first unknown name.
// We must find the task from the text, name the line of every field and compare names, so this reader yields a tree without a schema; a test compares both readers.

/** A scalar as written; `text` is the decoded content of a string, or the characters of a number or word (sign included). */
export interface ScalarNode {
  readonly kind: 'string' | 'number' | 'word';
  readonly text: string;
  readonly line: number;
}
export interface MessageNode {
  readonly kind: 'message';
  readonly fields: readonly FieldNode[];
  readonly line: number;
}
export type ValueNode = ScalarNode | MessageNode;
/** One `name: value`; a list `[a, b]` has several values and `list` true. */
export interface FieldNode {
  readonly name: string;
  readonly line: number;
  readonly values: readonly ValueNode[];
  readonly list: boolean;
}

export const textLimits = { characters: 1 << 20, depth: 64, fields: 50_000 } as const;

interface Token {
  readonly kind: 'word' | 'number' | 'string' | 'mark' | 'end';
  readonly text: string;
  readonly line: number;
}

const numberPattern = /0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?/y;
const wordPattern = /[A-Za-z_][A-Za-z0-9_.]*/y;
const skipPattern = /(?:[ \t\r\v\f\uFEFF]+|#[^\n]*)+/y;
const stringPattern = /"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*'/y;
const marks = new Set('{}<>[]:,;-');
const simpleEscapes: Readonly<Record<string, string>> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v', '?': '?', '\\': '\\', "'": "'", '"': '"' };

/** The inside of a quoted string with its escapes decoded (octal, hex, \u, and C's letters); a numeric run is UTF-8. */
function decodeEscapes(body: string, fail: (message: string) => never): string {
  if (!body.includes('\\')) return body;
  return body.replace(
    /((?:\\(?:[0-7]{1,3}|[xX][0-9a-fA-F]{1,2}))+)|\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|\\([\s\S])/g,
    (_, bytes?: string, short?: string, long?: string, letter?: string) => {
      if (bytes !== undefined) {
        const codes = bytes
          .slice(1)
          .split('\\')
          .map(code => (/^[xX]/.test(code) ? Number.parseInt(code.slice(1), 16) : Number.parseInt(code, 8) & 255));
        return Buffer.from(codes).toString('utf8');
      }
      const code = short ?? long;
      if (code !== undefined) {
        const point = Number.parseInt(code, 16);
        return point <= 0x10ffff ? String.fromCodePoint(point) : fail(`\\U${code} is no Unicode character.`);
      }
      return simpleEscapes[letter!] ?? fail(`\\${letter} is no escape.`);
    },
  );
}

class Lexer {
  private position = 0;
  private line = 1;
  private readonly source: string;
  private readonly file: string | undefined;

  constructor(source: string, file: string | undefined) {
    this.source = source;
    this.file = file;
  }

  fail(message: string, line: number, hint = 'Correct the line: a spec is protobuf text, `name: value` or `name { … }`.'): never {
    throw new EdgeError('spec-syntax', message, { hint, where: { ...(this.file === undefined ? {} : { file: this.file }), line } });
  }

  private match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.position;
    const found = pattern.exec(this.source)?.[0];
    if (found !== undefined) this.position += found.length;
    return found;
  }

  private skipBlanks(): void {
    while (this.position < this.source.length) {
      if (this.source[this.position] === '\n') {
        this.position += 1;
        this.line += 1;
      } else if (this.match(skipPattern) === undefined) return;
    }
  }

  next(): Token {
    this.skipBlanks();
    const { line } = this;
    const first = this.source[this.position];
    if (first === undefined) return { kind: 'end', text: 'the end of the file', line };
    if (first === '"' || first === "'") {
      const quoted = this.match(stringPattern) ?? this.fail('A string is not closed on its line.', line, `Close the quote ${first} on the same line.`);
      return { kind: 'string', text: decodeEscapes(quoted.slice(1, -1), message => this.fail(message, line, 'Write \\\\ for a backslash.')), line };
    }
    const number = /[0-9.]/.test(first) ? this.match(numberPattern) : undefined;
    if (number !== undefined) {
      const rest = this.match(wordPattern);
      if (rest !== undefined) this.fail(`"${(number + rest).slice(0, 60)}" is neither a number nor a name.`, line, 'Put text in quotes.');
      return { kind: 'number', text: number, line };
    }
    const word = this.match(wordPattern);
    if (word !== undefined) return { kind: 'word', text: word, line };
    if (!marks.has(first)) this.fail(`Unexpected character ${JSON.stringify(String.fromCodePoint(this.source.codePointAt(this.position)!))}.`, line);
    this.position += 1;
    return { kind: 'mark', text: first, line };
  }
}

const closing: Readonly<Record<string, string>> = { '{': '}', '<': '>' };
const shown = (token: Token): string => (token.kind === 'end' ? token.text : `"${token.text.slice(0, 60)}"`);

class Parser {
  private readonly lexer: Lexer;
  private token: Token;
  private fields = 0;

  constructor(lexer: Lexer) {
    this.lexer = lexer;
    this.token = lexer.next();
  }

  private take(): Token {
    const taken = this.token;
    this.token = this.lexer.next();
    return taken;
  }

  private isMark(text: string): boolean {
    return this.token.kind === 'mark' && this.token.text === text;
  }

  private scalar(): ScalarNode {
    const { line } = this.token;
    const sign = this.isMark('-') ? this.take().text : '';
    if (this.token.kind === 'string' && sign === '') {
      const pieces: string[] = [];
      while (this.token.kind === 'string') pieces.push(this.take().text);
      return { kind: 'string', text: pieces.join(''), line };
    }
    const { kind } = this.token;
    if (kind !== 'number' && kind !== 'word') return this.lexer.fail(`Expected a value, found ${shown(this.token)}.`, this.token.line);
    return { kind, text: sign + this.take().text, line };
  }

  private value(depth: number): ValueNode {
    const close = this.token.kind === 'mark' ? closing[this.token.text] : undefined;
    if (close === undefined) return this.scalar();
    const open = this.take();
    return { kind: 'message', fields: this.message(depth + 1, close, open), line: open.line };
  }

  private list(depth: number): ValueNode[] {
    const values: ValueNode[] = [];
    this.take();
    while (!this.isMark(']')) {
      values.push(this.value(depth));
      if (this.isMark(',')) this.take();
      else if (!this.isMark(']')) this.lexer.fail(`Expected "," or "]", found ${shown(this.token)}.`, this.token.line);
    }
    this.take();
    return values;
  }

  private field(depth: number): FieldNode {
    this.fields += 1;
    if (this.fields > textLimits.fields) this.lexer.fail(`More than ${textLimits.fields} fields.`, this.token.line, 'Split the file: no spec is that long.');
    const name = this.take();
    if (name.kind !== 'word') this.lexer.fail(`Expected a field name, found ${shown(name)}.`, name.line);
    const colon = this.isMark(':');
    if (colon) this.take();
    if (this.isMark('[')) return { name: name.text, line: name.line, values: this.list(depth), list: true };
    if (!colon && !this.isMark('{') && !this.isMark('<')) this.lexer.fail(`Expected ":" or "{" after ${name.text.slice(0, 60)}, found ${shown(this.token)}.`, this.token.line);
    return { name: name.text, line: name.line, values: [this.value(depth)], list: false };
  }

  message(depth: number, close: string | undefined, open: Token | undefined): FieldNode[] {
    if (depth > textLimits.depth) this.lexer.fail(`Messages are nested more than ${textLimits.depth} deep.`, this.token.line, 'Close the braces: no spec nests that deep.');
    const found: FieldNode[] = [];
    for (;;) {
      if (this.token.kind === 'end') {
        if (close !== undefined) this.lexer.fail(`"${open!.text}" of line ${open!.line} is never closed.`, open!.line, `Add the missing "${close}".`);
        return found;
      }
      if (close !== undefined && this.isMark(close)) {
        this.take();
        return found;
      }
      if (this.isMark('}') || this.isMark('>'))
        this.lexer.fail(`"${this.token.text}" closes nothing.`, this.token.line, `Remove it, or add the missing "${close === undefined ? '{' : close}" before it.`);
      found.push(this.field(depth));
      if (this.isMark(',') || this.isMark(';')) this.take();
    }
  }
}

/** Protobuf text → a tree with the line of every field; throws EdgeError spec-syntax (file, line) or limit-exceeded, never anything else. */
export function parseTextFormat(source: string, file?: string): readonly FieldNode[] {
  if (source.length > textLimits.characters) {
    throw new EdgeError('limit-exceeded', `The spec has ${source.length} characters; at most ${textLimits.characters} are read.`, {
      hint: 'Check that this is a spec file and not data.',
      where: file === undefined ? undefined : { file },
    });
  }
  return new Parser(new Lexer(source, file)).message(0, undefined, undefined);
}
